#!/usr/bin/env bash
# The backend tests and FreeDOS on real KVM, in the nested machine of infra/nested-kvm (or on this host's own /dev/kvm). Its last
# line is "kvm: N passed, N failed, N skipped". Builds must be there: tests/Backends.Tests and src/Cli in Release.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
media=${FARM_MEDIA:-$root/../shared/guests}
limit=${FARM_KVM_TIMEOUT:-540}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
payload="$work/payload"
mkdir -p "$payload/share"

# The programs as built, and the runtime that they need: nothing is downloaded.
dotnet=$(dirname "$(readlink -f "$(command -v dotnet)")")
mkdir -p "$payload/dotnet/host" "$payload/dotnet/shared"
cp -L "$dotnet/dotnet" "$payload/dotnet/"
cp -aL "$dotnet/host/fxr" "$payload/dotnet/host/"
cp -aL "$dotnet/shared/Microsoft.NETCore.App" "$dotnet/shared/Microsoft.AspNetCore.App" "$payload/dotnet/shared/"
cp -aL "$root/src/Cli/bin/Release/net10.0" "$payload/cli"
cp -aL "$root/tests/Backends.Tests/bin/Release/net10.0" "$payload/tests"
rm -rf "$payload"/{cli,tests}/.playwright "$payload"/{cli,tests}/runtimes/win* "$payload"/{cli,tests}/runtimes/osx*
mkdir -p "$payload/lib"
for library in libssl.so.3 libcrypto.so.3 libz.so.1 libzstd.so.1; do
    file=$(ldconfig -p | awk -v l="$library" '$1 == l && /x86-64/ { print $NF; exit }')
    [ -n "$file" ] && cp -L "$file" "$payload/lib/"
done
for set in bochs vgabios seabios; do [ -d "/usr/share/$set" ] && cp -aL "/usr/share/$set" "$payload/share/"; done
for image in freedos-722.img; do [ -f "$media/$image" ] && cp "$media/$image" "$payload/"; done

cat >"$payload/run" <<'SH'
mkdir -p /usr/share
cp -a /payload/share/* /usr/share/
export DOTNET_ROOT=/payload/dotnet DOTNET_EnableDiagnostics=0 DOTNET_CLI_TELEMETRY_OPTOUT=1 FARM_ROOT=/payload FARM_NEED_KVM=1 LD_LIBRARY_PATH=/payload/lib
dotnet=/payload/dotnet/dotnet
passed=0 failed=0 skipped=0
$dotnet /payload/tests/Farm.Backends.Tests.dll -noColor -noLogo -class Farm.Backends.Tests.KvmBackendTests $FARM_KVM_TESTS >/tmp/tests.log 2>&1
code=$?
count() { sed -n "s/^ *Farm\..*[ ,]$1: \([0-9]*\).*/\1/p" /tmp/tests.log | tail -n 1; }
total=$(count Total) f=$(count Failed) s=$(count Skipped) errors=$(count Errors)
f=$((${f:-0} + ${errors:-0}))
p=$((${total:-0} - f - ${s:-0}))
if [ -z "$total" ] || { [ $code != 0 ] && [ $f = 0 ]; }; then
    tail -n 30 /tmp/tests.log
    echo "Backends.Tests ended with code $code"
    f=$((f + 1))
fi
[ $f = 0 ] || grep -A 12 -F '[FAIL]' /tmp/tests.log | head -n 200
grep -A 1 -F '[SKIP]' /tmp/tests.log | head -n 10
passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
echo "   Backends.Tests on KVM: ${p:-0} passed, ${f:-0} failed, ${s:-0} skipped"
for assist in $FARM_KVM_BOOTS; do
    if [ ! -f /payload/freedos-722.img ]; then
        skipped=$((skipped + 1))
        echo "   FreeDOS on kvm ($assist): skipped, freedos-722.img is not there"
        continue
    fi
    start=$(date +%s)
    if $dotnet /payload/cli/farm.dll boot --backend kvm --assist $assist --cpu pentium --memory 16 --floppy /payload/freedos-722.img --order a \
        --expect 'Welcome to FreeDOS' --expect 'A:.>' --type 'ver\n' --expect 'FreeCom version' --timeout 150 --screen-text /tmp/screen --report /tmp/report.json >/tmp/boot.log 2>&1; then
        passed=$((passed + 1))
        echo "   FreeDOS on kvm ($assist): passed in $(($(date +%s) - start)) s"
    else
        code=$?
        failed=$((failed + 1))
        echo "   FreeDOS on kvm ($assist): FAILED with code $code"
        tail -n 25 /tmp/boot.log
        grep -v '^ *$' /tmp/screen 2>/dev/null
    fi
    tr -d ' \n' </tmp/report.json 2>/dev/null | grep -oE '"(hostSeconds|assistTrapsTotal|clockMode)":[^,]*|"(exits|assistTraps|phases)":[{[][^]}]*[]}]' | sed 's/^/      /'
done
echo "kvm: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
SH
environment="FARM_KVM_TESTS='${FARM_KVM_TESTS:-}' FARM_KVM_BOOTS='${FARM_KVM_BOOTS-vm86 native}'"
"$root/infra/nested-kvm/run.sh" --payload "$payload" --memory 3072 --timeout "$limit" --command "$environment sh /payload/run" 2>&1
