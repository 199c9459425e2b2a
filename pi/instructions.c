/* A plugin of QEMU's user-mode emulation: counts the instructions the program executed and prints the total when it ends.
 * A program that asks whether the file -7001000 - N is a terminal, `os.isatty(-7001000 - N)` with N from 0 to 999, gets its answer
 * (no) and has the count so far printed as `mark N: COUNT`: the instructions between two places are a difference in one run.
 * Needs no header of QEMU; `pi-count` builds it. One counter for all threads: exact for a program with one. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum { NO_REGISTERS = 0, FIRST_MARK = -7001000, MARKS = 1000 };

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
extern void qemu_plugin_register_vcpu_syscall_cb(
    plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = PLUGIN_VERSION;

static uint64_t instructions;

static void on_execute(unsigned cpu, void *count)
{
    (void)cpu;
    instructions += (uintptr_t)count;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_execute, NO_REGISTERS, (void *)qemu_plugin_tb_n_insns(block));
}

/* The number of the system call is another one on each architecture; no file has such a number on any. */
static void on_syscall(plugin_id id, unsigned cpu, int64_t number, uint64_t file, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                       uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)number, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    int64_t mark = (int64_t)FIRST_MARK - (int32_t)file;
    if (mark >= 0 && mark < MARKS)
        fprintf(stderr, "mark %" PRId64 ": %" PRIu64 "\n", mark, instructions);
}

static void at_exit(plugin_id id, void *unused)
{
    (void)id, (void)unused;
    fprintf(stderr, "instructions: %" PRIu64 "\n", instructions);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_atexit_cb(id, at_exit, 0);
    return 0;
}
