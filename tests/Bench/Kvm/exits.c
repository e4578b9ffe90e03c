// The least that a virtual machine monitor has to do, as a yardstick for the kvm backend: one KVM vCPU, a monitor in the guest that
// reports a #GP of virtual-8086 code with one OUT, and a loop that answers exits. It runs the boot sector of ExitLoops in virtual-8086
// mode and prints the nanoseconds at which each of its bytes came out of COM1, as lines "letter nanoseconds".
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum { MONITOR = 0x40000, STACK = 0x48000, CALLING = 0x48100, TSS = 0x49000, RAM = 0x80000, COM1 = 0x3F8, PRIVATE = 0xA86, TRAPPED = 2, ENDED = 3 };

// As Farm's resident monitor: save everything, say it with one OUT, wait until the answer is there, resume. Linked at MONITOR.
asm(".pushsection .rodata\n"
    ".global monitor, trap, other, monitor_end\n"
    ".code32\n"
    "monitor:\n"
    "  mov $0x18, %ax\n"
    "  ltr %ax\n"
    "  xor %eax, %eax\n"
    "  push %eax\n" // GS, FS, DS, ES, SS, ESP
    "  push %eax\n"
    "  push %eax\n"
    "  push %eax\n"
    "  push %eax\n"
    "  push $0x7000\n"
    "  push $0x23002\n" // VM, IOPL 3
    "  push %eax\n"
    "  push $0x7C00\n"
    "  iret\n"
    "trap:\n"
    "  push $13\n"
    "  cld\n"
    "  pusha\n"
    "  mov $0x10, %ax\n"
    "  mov %ax, %ds\n"
    "  mov %ax, %es\n"
    "  mov $2, %al\n"
    "  movb $1, 0x48100\n"
    "  mov $0xA86, %edx\n"
    "  out %al, %dx\n"
    "1: cmpb $0, 0x48100\n"
    "  jne 1b\n"
    "  popa\n"
    "  add $8, %esp\n"
    "  iret\n"
    "other:\n"
    "  mov $3, %al\n"
    "  mov $0xA86, %edx\n"
    "  out %al, %dx\n"
    "  jmp other\n"
    "monitor_end:\n"
    ".code64\n"
    ".popsection\n");
extern const uint8_t monitor[], trap[], other[], monitor_end[];

// What the monitor has pushed, from STACK downwards.
struct frame {
    uint32_t edi, esi, ebp, esp0, ebx, edx, ecx, eax, vector, error, eip, cs, eflags, esp, ss, es, ds, fs, gs;
};

static uint8_t *ram;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void descriptor(uint64_t *table, int index, uint32_t base, uint32_t limit, uint16_t access)
{
    table[index] = (limit & 0xFFFF) | (uint64_t)(base & 0xFFFFFF) << 16 | (uint64_t)access << 40 | (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)(base >> 24) << 56;
}

static void gate(uint64_t *table, int vector, uint32_t at)
{
    table[vector] = (at & 0xFFFF) | 8ull << 16 | 0x8E00ull << 32 | (uint64_t)(at >> 16) << 48;
}

static uint16_t gdtr_limit;
static uint32_t gdtr_base;

// LGDT m16 with a 16-bit displacement, the one instruction that the boot sector lets fault.
static void emulate(void)
{
    struct frame *frame = (struct frame *)(ram + STACK - sizeof(struct frame));
    const uint8_t *code = ram + ((frame->cs << 4) + (frame->eip & 0xFFFF));
    if (code[0] != 0x0F || code[1] != 0x01 || code[2] != 0x16) {
        fprintf(stderr, "an unexpected instruction at %04x:%04x\n", frame->cs, frame->eip);
        exit(1);
    }
    uint32_t at = (frame->ds << 4) + (uint16_t)(code[3] | code[4] << 8);
    memcpy(&gdtr_limit, ram + at, 2);
    memcpy(&gdtr_base, ram + at + 2, 4);
    frame->eip += 5;
    ram[CALLING] = 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type)
{
    return (struct kvm_segment){ .selector = selector, .limit = 0xFFFFFFFF, .type = type, .present = 1, .s = 1, .db = 1, .g = 1 };
}

int main(int argc, char **argv)
{
    FILE *image = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!image) {
        fprintf(stderr, "usage: exits BOOT-SECTOR\n");
        return 2;
    }
    int kvm = open("/dev/kvm", O_RDWR);
    if (kvm < 0)
        fail("/dev/kvm");
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0)
        fail("KVM_CREATE_VM");
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fread(ram + 0x7C00, 1, 512, image) != 512)
        fail(argv[1]);
    memcpy(ram + MONITOR, monitor, monitor_end - monitor);
    uint64_t *gdt = (uint64_t *)(ram + 0x4A000), *idt = (uint64_t *)(ram + 0x4B000);
    descriptor(gdt, 1, 0, 0xFFFFF, 0xC09B);
    descriptor(gdt, 2, 0, 0xFFFFF, 0xC093);
    descriptor(gdt, 3, TSS, 0x68 + 0x2000, 0x89);
    for (int vector = 0; vector < 32; vector++)
        gate(idt, vector, MONITOR + (vector == 13 ? trap - monitor : other - monitor));
    uint32_t *tss = (uint32_t *)(ram + TSS);
    tss[1] = STACK;
    tss[2] = 0x10;
    tss[0x64 / 4] = 0x68 << 16; // all ports open
    struct kvm_userspace_memory_region region = { .memory_size = RAM, .userspace_addr = (uintptr_t)ram };
    if (ioctl(vm, KVM_SET_TSS_ADDR, 0xFEFFD000ul) < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        fail("the VM's memory");
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (vcpu < 0)
        fail("KVM_CREATE_VCPU");
    struct kvm_run *run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    struct kvm_sregs sregs;
    if (run == MAP_FAILED || ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
        fail("the vCPU");
    sregs.cs = segment(8, 11);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(0x10, 3);
    sregs.gdt.base = 0x4A000;
    sregs.gdt.limit = 31;
    sregs.idt.base = 0x4B000;
    sregs.idt.limit = 32 * 8 - 1;
    sregs.cr0 |= 1;
    struct kvm_regs regs = { .rip = MONITOR, .rsp = STACK, .rflags = 2 };
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
        fail("the registers");

    static struct { char letter; uint64_t at; } marks[1024];
    int count = 0;
    for (;;) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0)
            fail("KVM_RUN");
        if (run->exit_reason == KVM_EXIT_MMIO)
            continue;
        if (run->exit_reason != KVM_EXIT_IO) {
            fprintf(stderr, "an unexpected exit: %u\n", run->exit_reason);
            return 1;
        }
        uint8_t *data = (uint8_t *)run + run->io.data_offset;
        if (run->io.direction == KVM_EXIT_IO_IN) {
            *data = 0;
        } else if (run->io.port == PRIVATE) {
            if (*data == TRAPPED) {
                emulate();
            } else {
                fprintf(stderr, "an unexpected exception\n");
                return 1;
            }
        } else if (run->io.port == COM1 && *data >= 'A') {
            struct timespec now;
            clock_gettime(CLOCK_MONOTONIC, &now);
            marks[count].letter = *data;
            marks[count++].at = now.tv_sec * 1000000000ull + now.tv_nsec;
            if (*data == 'Z' || count == 1024)
                break;
        }
    }
    for (int i = 0; i < count; i++)
        printf("%c %llu\n", marks[i].letter, (unsigned long long)marks[i].at);
    return 0;
}
