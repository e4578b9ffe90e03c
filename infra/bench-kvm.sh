#!/usr/bin/env bash
# What the kvm backend costs, measured in the nested machine of infra/nested-kvm: an exit of each kind beside a minimal C program's
# (tests/Bench/Kvm/exits.c), and the time of boots, process start included, beside QEMU's with KVM. Builds must be there: tests/Bench in
# Release. Results: .farm/bench-kvm/results.json.
#   FARM_KVM_BOOTS    boots to measure (freedos; "freedos,debian" takes long; empty: none)
#   FARM_KVM_EXITS    0: exits are not measured           FARM_KVM_TIMEOUT  seconds for the whole (1200)
#   FARM_KVM_CLOCK    host, or instructions: time is what the emulated processor executes, so a busy host does not show
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
media=${FARM_MEDIA:-$root/../shared/guests}
out="$root/.farm/bench-kvm"
rm -rf "$out" && mkdir -p "$out"
exits=-
if [ "${FARM_KVM_EXITS:-1}" != 0 ]; then
    gcc -O2 -static -o "$out/exits" "$root/tests/Bench/Kvm/exits.c"
    exits=/tmp/out/exits
fi
boots=${FARM_KVM_BOOTS-freedos}
if [[ ",$boots," == *,debian,* ]] && [ ! -f "$root/.farm/media/debian-installer-i386.iso" ] && [ ! -f "$media/debian-installer-i386.iso" ]; then
    "$root/infra/media/debian-installer-i386" "$root/.farm/media" >/dev/null
fi
# Without tiers: the benchmark's own code, compiled anew in the background, would take the one processor from what it measures.
cat >"$out/inside" <<SH
export FARM_ROOT='$root' FARM_MEDIA='$(readlink -f "$media" 2>/dev/null || true)' PATH='$PATH' DOTNET_EnableDiagnostics=0 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_TieredCompilation=0
# By the clock of instructions idle time is skipped, also while this machine reads a file for the nested one: its processor is never idle.
[ '${FARM_KVM_CLOCK:-host}' != instructions ] || chrt --idle 0 sh -c 'while :; do :; done' &
exec dotnet '$root/tests/Bench/bin/Release/net10.0/Farm.Bench.dll' kvm-inside $exits '$boots' /tmp/out/results.json
SH
exec "$root/infra/nested-kvm/run.sh" --out "$out" --clock "${FARM_KVM_CLOCK:-host}" --timeout "${FARM_KVM_TIMEOUT:-1200}" --command 'bash /tmp/out/inside'
