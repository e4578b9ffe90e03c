#!/bin/sh
# A VM's child process for tests: does what the plan's script says. $1 is a folder for marks that outlive a run.
IFS= read -r job
started='{"started":{"backend":"soft","assist":"vm86","firmware":"bochs"}}'
report() {
  printf '{"report":{"health":"ok","outcome":"%s","furthest":"prompt","summary":"%s","guestSeconds":1.5,"instructions":1000}}\n' "$1" "$2"
}
case "$job" in
  *mode-pass*)
    echo "$started"
    printf '%s\n' '{"progress":{"phases":[{"phase":"loader"},{"phase":"kernel","guestSeconds":1}],"serial":"hello from the guest","progress":0.5,"screen":{"sequence":0,"full":true,"rows":2,"columns":4,"lines":[{"row":0,"text":"A:\\>"}]}}}'
    echo "serial log" > serial.log
    echo '{"artifact":{"name":"serial0.log","file":"serial.log","contentType":"text/plain"}}'
    echo '{"artifact":{"name":"passwd","file":"../../../../../../../etc/passwd"}}'
    ln -s /etc/hostname link
    echo '{"artifact":{"name":"link","file":"link"}}'
    report pass "The prompt came." ;;
  *mode-hang-once*)
    echo "$started"
    mark="$1/hung"
    if [ -e "$mark" ]; then report pass "The prompt came."; exit 0; fi
    : > "$mark"
    exec sleep 300 ;;
  *mode-hang*)
    echo "$started"
    exec sleep 300 ;;
  *mode-broken*)
    echo "no such backend" >&2
    exit 3 ;;
  *mode-nonsense*)
    echo "Segmentation fault, or so" ;;
  *mode-silent*)
    echo "$started" ;;
  *mode-long-line*)
    head -c 20000000 /dev/zero | tr '\0' x ;;
  *) exit 2 ;;
esac
