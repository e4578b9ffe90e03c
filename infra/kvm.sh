#!/usr/bin/env bash
# The backend tests and FreeDOS on real KVM, in the nested machine of infra/nested-kvm. Its last line is "kvm: N passed, N failed, N skipped".
# Guests with several processors run in a second one by the real clock: their idle time is not skipped, and by the clock of instructions
# FreeDOS all but stands still where it waits for a key (docs/kvm-guests.md).
# Builds must be there: tests/Backends.Tests and src/Cli in Release (with gcc). Logs, screens and reports: .farm/test-logs/kvm.
#   FARM_KVM_TIMEOUT  limit of each of the two in seconds of processor time (900): a busy machine takes longer, not more
#   FARM_KVM_TESTS    arguments for Backends.Tests, such as -method '*A20*'; none: no tests
#   FARM_KVM_BOOTS    strengths to boot FreeDOS under, with a number of processors if several (vm86 native native:2)
#   FARM_KVM_DIVERGE  guests to run on soft and on KVM there under farm diverge, which must find no difference, such as
#                     "freedos:vm86 grub2:native" (none)
#   FARM_KVM_KERNEL   for the command line of the nested machine's kernel
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
media=${FARM_MEDIA:-$root/../shared/guests}
out="$root/.farm/test-logs/kvm"
rm -rf "$out" && mkdir -p "$out"
freedos=
[ -f "$media/freedos-722.img" ] && freedos=$(readlink -f "$media/freedos-722.img")

cat >"$out/inside" <<'SH'
. /tmp/out/settings
export FARM_ROOT=$root FARM_NEED_KVM=1 DOTNET_EnableDiagnostics=0 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_TieredPGO=0 DOTNET_gcServer=0
cd /tmp/out
passed=0 failed=0 skipped=0
if [ "$tests" != none ]; then
    $root/tests/Backends.Tests/bin/Release/net10.0/Farm.Backends.Tests -noColor -noLogo $tests >tests.log 2>&1
    code=$?
    count() { sed -n "s/^ *Farm\..*[ ,]$1: \([0-9]*\).*/\1/p" tests.log | tail -n 1; }
    total=$(count Total) f=$(count Failed) s=$(count Skipped) errors=$(count Errors)
    f=$((${f:-0} + ${errors:-0}))
    p=$((${total:-0} - f - ${s:-0}))
    if [ -z "$total" ] || { [ $code != 0 ] && [ $f = 0 ]; }; then
        tail -n 30 tests.log
        echo "Backends.Tests ended with code $code"
        f=$((f + 1))
    fi
    [ $f = 0 ] || grep -A 12 -F '[FAIL]' tests.log | head -n 200
    grep -A 1 -F '[SKIP]' tests.log | head -n 10
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
    echo "   Backends.Tests on KVM: ${p:-0} passed, ${f:-0} failed, ${s:-0} skipped"
fi
# In memory: while the nested machine waits for a file of this one, the clock of instructions runs away.
[ -z "$freedos" ] || cp "$freedos" /tmp/freedos.img
for boot in $boots; do
    assist=${boot%:*} cpus=1 cpu=pentium firmware=bochs
    # several processors need a local APIC
    [ "$boot" = "$assist" ] || cpus=${boot#*:} cpu=p3 firmware=seabios
    if [ -z "$freedos" ]; then
        skipped=$((skipped + 1))
        echo "   FreeDOS on kvm ($boot): skipped, freedos-722.img is not there"
        continue
    fi
    start=$(date +%s)
    if $root/src/Cli/bin/Release/net10.0/native/farm boot --backend kvm --assist $assist --cpu $cpu --cpus $cpus --firmware $firmware --memory 16 --floppy /tmp/freedos.img --order a \
        --expect 'Welcome to FreeDOS' --expect 'A:.>' --type 'ver\n' --expect 'FreeCom version' --timeout 200 \
        --screen-text freedos-${boot/:/-}.txt --report freedos-${boot/:/-}.json >freedos-${boot/:/-}.log 2>&1; then
        passed=$((passed + 1))
        echo "   FreeDOS on kvm ($boot): passed in $(($(date +%s) - start)) s"
    else
        code=$?
        failed=$((failed + 1))
        echo "   FreeDOS on kvm ($boot): FAILED with code $code"
        tail -n 25 freedos-${boot/:/-}.log
        grep -v '^ *$' freedos-${boot/:/-}.txt 2>/dev/null
    fi
    tr -d ' \n' <freedos-${boot/:/-}.json 2>/dev/null | grep -oE '"(hostSeconds|assistTrapsTotal|clockMode)":[^,]*|"(exits|assistTraps|phases)":[{[][^]}]*[]}]' | sed 's/^/      /'
done
for guest in $diverge; do
    assist=${guest#*:}
    if FARM_MEDIA=$media $root/src/Cli/bin/Release/net10.0/farm diverge ${guest%:*} --between soft/$assist,kvm/$assist --guest-seconds 900 >diverge.log 2>&1; then
        passed=$((passed + 1))
        echo "   $guest on soft and kvm: no difference"
    else
        failed=$((failed + 1))
        echo "   $guest on soft and kvm: DIFFERENT"
    fi
    sed 's/^/      /' diverge.log
done
echo "$passed $failed $skipped" >results
[ $failed = 0 ]
SH

# One nested machine: tests, boots, guests to compare, arguments for run.sh. Adds its results up; the code is that of the first that failed.
passed=0 failed=0 skipped=0 code=0
machine() {
    printf '%s=%q\n' media "$(readlink -f "$media" 2>/dev/null)" root "$root" freedos "$freedos" PATH "$PATH" tests "$1" boots "$2" diverge "$3" >"$out/settings"
    rm -f "$out/results"
    local limit=${FARM_KVM_TIMEOUT:-900} result p f s
    "$root/infra/nested-kvm/run.sh" --kernel "${FARM_KVM_KERNEL:-}" --out "$out" --timeout $((limit * 4)) --processor "$limit" --command 'bash /tmp/out/inside' "${@:4}" 2>&1 | tee -a "$out/console"
    result=${PIPESTATUS[0]}
    if [ "$result" = 77 ]; then
        p=0 f=0 s=1
    else
        read -r p f s 2>/dev/null <"$out/results" || { p=0 f=1 s=0; }
        [ "$code" != 0 ] || code=$result
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

alone='' several=''
for boot in ${FARM_KVM_BOOTS-vm86 native native:2}; do
    case "$boot" in
        *:*) several+=" $boot" ;;
        *) alone+=" $boot" ;;
    esac
done
tests=${FARM_KVM_TESTS--class Farm.Backends.Tests.KvmBackendTests -class Farm.Backends.Tests.EmulationTests -class Farm.Backends.Tests.KvmIdleTimeTests -class Farm.Backends.Tests.KvmDivergenceTests -class Farm.Backends.Tests.KvmLocalApicTests -class Farm.Backends.Tests.KvmLocalApicBackendTests -class Farm.Backends.Tests.KvmAtOnceTests}
machine "$tests" "$alone" "${FARM_KVM_DIVERGE:-}" --clock instructions
[ -z "$several" ] || machine none "$several" ''
echo "kvm: $passed passed, $failed failed, $skipped skipped"
exit "$code"
