# Shared by the media recipes: source it first. A recipe is called with one argument, the folder to put its media into; it says in its
# head which Debian packages it needs ("# packages:"), what it makes ("# makes:") and what a guest shows ("# screen:", a regex on the
# text screen). The same package versions give the same bytes: fixed dates, fixed identifiers, no loop devices, no root.
set -euo pipefail
umask 022
export SOURCE_DATE_EPOCH=1704067200 LC_ALL=C TZ=UTC MTOOLSRC=/dev/null
recipe=$(basename "$0")
[ $# = 1 ] || { echo "usage: $0 OUTPUT-FOLDER" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/farm-media.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() { echo "$recipe: $*" >&2; exit 3; }

# Checks that the inputs are there before anything is built.
inputs() {
    local file
    for file in "$@"; do
        [ -e "$file" ] || fail "$file is missing; install: $(sed -n 's/^# packages: *//p' "$0")"
    done
}

# Puts a finished file into the output folder, whole or not at all, and prints its sha256.
finish() {
    mv "$1" "$out/.$2.partial"
    mv "$out/.$2.partial" "$out/$2"
    (cd "$out" && sha256sum "$2")
}

# El Torito CD without emulation: folder, volume label, boot image and catalogue within the folder.
bootable_iso() {
    local folder=$1 label=$2 image=$3 catalogue=$4 target=$5
    find "$folder" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    xorriso -as mkisofs -quiet -r -J -V "$label" -b "$image" -c "$catalogue" -no-emul-boot -boot-load-size 4 -boot-info-table \
        -o "$target" "$folder" 2>"$work/xorriso.log" || { cat "$work/xorriso.log" >&2; fail "xorriso could not write the ISO image"; }
}

# ISOLINUX CD from a folder that holds isolinux/isolinux.cfg and what it loads.
isolinux_iso() {
    local folder=$1 label=$2 target=$3 module
    shift 3
    mkdir -p "$folder/isolinux"
    cp /usr/lib/ISOLINUX/isolinux.bin "$folder/isolinux/"
    for module in ldlinux "$@"; do
        cp "/usr/lib/syslinux/modules/bios/$module.c32" "$folder/isolinux/"
    done
    bootable_iso "$folder" "$label" isolinux/isolinux.bin isolinux/boot.cat "$target"
}

le16() { printf '%b' "$(printf '\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)))"; }
le32() { le16 $(($1 & 65535)); le16 $(($1 >> 16 & 65535)); }
poke() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none; } # bytes from standard input into file $1 at offset $2

grub_modules="biosdisk part_msdos fat iso9660 ext2 normal configfile minicmd ls cat echo help test search sleep read reboot halt serial terminal linux linux16 multiboot multiboot2 chain lsmmap cpuid hexdump boot gzio"

# CHS of a sector for 16 heads and 63 sectors per track, as three bytes of a partition entry.
chs() {
    local cylinder=$(($1 / 1008)) head=$(($1 / 63 % 16)) sector=$(($1 % 63 + 1))
    [ "$cylinder" -le 1023 ] || { cylinder=1023 head=15 sector=63; }
    printf '%b' "$(printf '\\x%02x\\x%02x\\x%02x' $head $((sector | (cylinder >> 2 & 192))) $((cylinder & 255)))"
}

# Writes an MBR partition entry: file, entry 0-3, type, first sector, sectors, active (128 or 0).
partition() {
    { printf '%b' "$(printf '\\x%02x' "$6")"; chs "$4"; printf '%b' "$(printf '\\x%02x' "$3")"; chs $(($4 + $5 - 1)); le32 "$4"; le32 "$5"; } |
        poke "$1" $((446 + $2 * 16))
}

# MBR disk that starts GRUB: target file, cylinders of 1008 sectors, partition type, identifier of the disk. boot.img is the MBR, core.img
# lies behind it, the one partition (where GRUB looks for /boot/grub/grub.cfg) starts at 1 MiB.
grub_mbr() {
    local target=$1 sectors=$(($2 * 1008)) type=$3 identifier=$4 lib=/usr/lib/grub/i386-pc
    truncate -s $((sectors * 512)) "$target"
    # shellcheck disable=SC2086
    grub-mkimage -O i386-pc -d "$lib" -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" $grub_modules
    [ "$(stat -c %s "$work/core.img")" -le $(((first_sector - 1) * 512)) ] || fail "core.img does not fit before the partition"
    dd if="$lib/boot.img" of="$target" bs=440 count=1 conv=notrunc status=none
    printf '\220\220' | poke "$target" 102 # trust DL: no check of the boot drive (boot.S, boot_drive_check)
    le32 "$identifier" | poke "$target" 440
    partition "$target" 0 "$type" "$first_sector" $((sectors - first_sector)) 128
    printf '\125\252' | poke "$target" 510
    dd if="$work/core.img" of="$target" bs=512 seek=1 conv=notrunc status=none
}
first_sector=2048

# GRUB disk with a FAT16 partition: target file, cylinders, folder whose content it gets, identifier.
grub_disk() {
    grub_mbr "$1" "$2" 14 "$4"
    fat_partition "$1@@1M" $(($2 * 1008 - first_sector)) "$4" "$first_sector"
    fat_copy "$1@@1M" "$3"
}

# GRUB disk with an ext4 partition: target file, cylinders, folder, identifier.
grub_ext4_disk() {
    local partition="$work/partition.img" blocks=$((($2 * 1008 - first_sector) / 8))
    grub_mbr "$1" "$2" 131 "$4"
    find "$3" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -F -t ext4 -b 4096 -m 0 -L farm -U "$(printf %08x "$4")-0000-4000-8000-000000000000" \
        -O ^metadata_csum,^64bit -E "hash_seed=$(printf %08x "$4")-0000-4000-8000-000000000001,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0" \
        -d "$3" "$partition" $blocks || fail "mke2fs could not make the file system"
    # Who built it and when must not show.
    (cd "$3" && find . -printf '%P\n' | sort) | while read -r path; do
        printf 'sif "/%s" %s\n' "$path" "uid 0" "$path" "gid 0" "$path" "ctime @$SOURCE_DATE_EPOCH" "$path" "atime @$SOURCE_DATE_EPOCH" "$path" "crtime @$SOURCE_DATE_EPOCH"
    done >"$work/debugfs"
    E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH debugfs -w -f "$work/debugfs" "$partition" >"$work/debugfs.log" 2>&1 || fail "debugfs failed: $(tail -n 3 "$work/debugfs.log")"
    dd if="$partition" of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
}

# Downloads a Debian package of any architecture (apt's own signature checks) and unpacks it; no root, the system's apt is not touched:
# unpack ARCHITECTURE PACKAGE FOLDER. A package of exactly one dependency that matters is found with package_dependency.
cache=${FARM_MEDIA_CACHE:-$out/.packages}
private_apt() {
    local architecture=$1 command=$2 state="$cache/apt-$1"
    shift 2
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    touch "$state/status"
    "$command" -q -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o Dir::State="$state" -o Dir::State::lists="$state/lists" \
        -o Dir::State::status="$state/status" -o Dir::Cache="$state" -o APT::Sandbox::User="$(id -un)" "$@"
}
package_lists() {
    [ -n "$(find "$cache/apt-$1/updated" -mtime -1 2>/dev/null)" ] && return
    private_apt "$1" apt-get update >"$work/apt.log" 2>&1 || true # one stale source must not stop the others
    touch "$cache/apt-$1/updated"
}
unpack() {
    local architecture=$1 package=$2 folder=$3 file
    package_lists "$architecture"
    file=$cache/$(cd "$work" && private_apt "$architecture" apt-get download --print-uris "$package" 2>"$work/apt.log" | sed -n "s/^'[^']*' \([^ ]*\) .*/\1/p")
    [ "$file" != "$cache/" ] || fail "the package $package ($architecture) is not in the sources of /etc/apt: $(tail -n 2 "$work/apt.log")"
    [ -f "$file" ] || (cd "$cache" && private_apt "$architecture" apt-get download "$package" >"$work/apt.log" 2>&1) || fail "cannot download $package: $(tail -n 2 "$work/apt.log")"
    dpkg-deb -x "$file" "$folder" || fail "cannot unpack $file"
}
package_dependency() { # ARCHITECTURE PACKAGE PATTERN
    package_lists "$1"
    private_apt "$1" apt-cache depends "$2" | sed -n "s/^ *Depends: \($3\)$/\1/p" | head -n 1
}

# FAT16 in a partition: mtools image name, sectors, serial number, hidden sectors.
fat_partition() { mformat -i "$1" -T "$2" -h 16 -s 63 -H "$4" -c 4 -N "$(printf %08x "$3")" -v FARM ::; }

# Copies a folder's content, sorted, with fixed dates.
fat_copy() {
    find "$2" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    (cd "$2" && find . -mindepth 1 -printf '%P\t%y\n' | sort) | while IFS=$'\t' read -r path type; do
        if [ "$type" = d ]; then mmd -i "$1" "::/$path"; else mcopy -m -i "$1" "$2/$path" "::/$path"; fi
    done
}

# GRUB floppy of 1.44M: target file, folder to copy into its FAT (/boot/grub/grub.cfg in it), identifier. core.img is the first file
# and so lies in one piece at the start of the data area, sector 33, where boot.img is told to look for it.
grub_floppy() {
    local target=$1 folder=$2 identifier=$3 lib=/usr/lib/grub/i386-pc data=33
    # shellcheck disable=SC2086
    grub-mkimage -O i386-pc -d "$lib" -p '(fd0)/boot/grub' -o "$work/core.img" $grub_modules
    le32 $((data + 1)) | poke "$work/core.img" 500 # blocklist of diskboot.img: where its rest begins
    truncate -s 1474560 "$target"
    mformat -i "$target" -f 1440 -N "$(printf %08x "$identifier")" -v FARM ::
    touch -d "@$SOURCE_DATE_EPOCH" "$work/core.img"
    mcopy -m -i "$target" "$work/core.img" ::/core.img
    dd if="$lib/boot.img" of="$target" bs=1 count=3 conv=notrunc status=none
    dd if="$lib/boot.img" of="$target" bs=1 skip=90 seek=90 count=420 conv=notrunc status=none
    le32 $data | poke "$target" 92 # kernel_sector of boot.img
    fat_copy "$target" "$folder"
}
