# Body of the debian-installer recipes: kernel and initial RAM disk of debian-installer-12-netboot-ARCHITECTURE, on the text console.
debian_installer() {
    local architecture=$1 images
    inputs /usr/bin/xorriso /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 /usr/bin/apt-get
    unpack "$(dpkg --print-architecture)" "debian-installer-12-netboot-$architecture" "$work/root"
    images=$work/root/usr/lib/debian-installer/images/12/$architecture/text/debian-installer/$architecture
    mkdir -p "$work/cd/isolinux"
    cp "$images/linux" "$images/initrd.gz" "$work/cd/isolinux/"
    # cryptomgr.notests: the kernel's self-tests of Diffie-Hellman and RSA are four thousand million instructions on an i386.
    cat >"$work/cd/isolinux/isolinux.cfg" <<'CFG'
DEFAULT install
PROMPT 1
TIMEOUT 10
LABEL install
  LINUX linux
  APPEND initrd=initrd.gz nomodeset fb=false cryptomgr.notests
LABEL shell
  LINUX linux
  APPEND initrd=initrd.gz nomodeset fb=false cryptomgr.notests rescue/enable=true
CFG
    isolinux_iso "$work/cd" DEBIAN "$work/installer.iso"
    finish "$work/installer.iso" "debian-installer-$architecture.iso"
}
