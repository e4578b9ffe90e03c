#!/usr/bin/env bash
# All tests: set-up, build, format, every test project, the backend tests and boots on real KVM in a nested machine (infra/kvm.sh).
# Last line: "N passed, N failed[, N skipped]".
# With arguments, only the test projects whose names begin with one of them: ./farm test Assist Machine; the word kvm stands for the nested
# machine. These run only when named:
#   guests      every guest of the catalogue by strength and firmware, and three runs alike of each
#   kvm-guests  guests on KVM in the nested machine, their screens beside those on soft (twenty minutes)
#   kvm-farm    a farm with a KVM node in the nested machine
# Reports and screens of guests: .farm/test-logs/guests, kvm and kvm-guests.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
cd "$root"
"$root/farm" setup || { echo "0 passed, 1 failed"; exit 1; }

passed=0 failed=0 skipped=0
export FARM_ROOT="$root"
logs="$root/.farm/test-logs"
rm -rf "$logs" && mkdir -p "$logs"

echo "== build"
if ! dotnet build farm.sln -c Release -v q -nologo >"$logs/build.log" 2>&1; then
    grep -E 'error' "$logs/build.log" | sort -u | head -n 40
    echo "0 passed, 1 failed"
    exit 1
fi

if [ $# = 0 ]; then
    echo "== format"
    if dotnet format farm.sln --no-restore --verify-no-changes >"$logs/format.log" 2>&1; then
        passed=$((passed + 1))
    else
        head -n 20 "$logs/format.log"
        failed=$((failed + 1))
    fi
fi

kvm= guests= kvm_guests= kvm_farm=
[ $# != 0 ] || kvm=1
for word in "$@"; do
    [ "${word,,}" = kvm ] && kvm=1
    [ "${word,,}" = kvm-guests ] && kvm_guests=1
    [ "${word,,}" = kvm-farm ] && kvm_farm=1
    [ "${word,,}" = guests ] && guests=1
done

# Adds up the summary of a test program's log: name, log, exit code.
tally() {
    local name=$1 log=$2 code=$3
    count() { sed -n "s/^ *Farm\..*[ ,]$1: \([0-9]*\).*/\1/p" "$log" | tail -n 1; }
    total=$(count Total) f=$(count Failed) s=$(count Skipped) errors=$(count Errors) notrun=$(count 'Not Run')
    f=$((${f:-0} + ${errors:-0}))
    p=$((${total:-0} - f - ${s:-0} - ${notrun:-0}))
    if [ -z "$total" ] || { [ "$code" != 0 ] && [ $f = 0 ]; }; then
        tail -n 30 "$log"
        echo "$name ended with code $code"
        f=$((f + 1))
    fi
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
    [ $f = 0 ] || grep -A 12 -F '[FAIL]' "$log" | head -n 120
    grep -A 1 -F '[SKIP]' "$log" | grep -v '^--' | sort | uniq -c | sort -rn | head -n 20
    echo "   ${p:-0} passed, ${f:-0} failed, ${s:-0} skipped"
}

for project in tests/*/*.csproj; do
    name=$(basename "$project" .csproj)
    [ "$name" = Bench ] && continue
    if [ $# != 0 ]; then
        wanted=
        for prefix in "$@"; do [[ "${name,,}" == "${prefix,,}"* ]] && wanted=1; done
        [ -n "$wanted" ] || continue
    fi
    exe="tests/$name/bin/Release/net10.0/Farm.$name"
    log="$logs/$name.log"
    echo "== $name"
    timeout 2400 "$exe" -noColor -noLogo >"$log" 2>&1
    tally "$name" "$log" $?
done

if [ -n "$guests" ]; then
    echo "== Guests by strength and firmware; determinism"
    FARM_TEST_RESULTS="$logs/guests" timeout 7200 tests/EndToEnd/bin/Release/net10.0/Farm.EndToEnd -noColor -noLogo -explicit on -diagnostics \
        -class '*.GuestMatrixTests' -class '*.KernelTests' -class '*.NetworkTests' -class '*.DeterminismTests' >"$logs/guests.log" 2>&1
    code=$?
    sed -n 's/^ *\[D::Farm.EndToEnd\] /   /p' "$logs/guests.log"
    tally Guests "$logs/guests.log" $code
fi

if [ -n "$kvm" ]; then
    echo "== KVM in a nested machine"
    infra/kvm.sh >"$logs/kvm.log"
    sed '/^kvm: .* passed/d' "$logs/kvm.log"
    read -r p f s < <(sed -n 's/^kvm: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped.*/\1 \2 \3/p' "$logs/kvm.log") || { p=0 f=1 s=0; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    echo "   $p passed, $f failed, $s skipped"
fi

if [ -n "$kvm_guests" ]; then
    echo "== Guests on KVM in a nested machine"
    FARM_TEST_RESULTS="$logs/kvm-guests" timeout 14400 tests/EndToEnd/bin/Release/net10.0/Farm.EndToEnd -noColor -noLogo -explicit only -class '*.KvmGuestTests' >"$logs/kvm-guests.log" 2>&1
    code=$?
    for screens in "$logs"/kvm-guests/*.screens; do
        [ -f "$screens" ] || continue
        echo "   $(basename "$screens" .screens)"
        sed 's/^/      /' "$screens"
    done
    tally KvmGuests "$logs/kvm-guests.log" $code
fi

if [ -n "$kvm_farm" ]; then
    echo "== A farm with a KVM node in a nested machine"
    timeout 1500 tests/EndToEnd/bin/Release/net10.0/Farm.EndToEnd -noColor -noLogo -explicit only -class '*.KvmNodeTests' >"$logs/kvm-farm.log" 2>&1
    tally KvmNode "$logs/kvm-farm.log" $?
fi

if [ "$skipped" != 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
