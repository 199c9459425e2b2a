/* A plugin of QEMU's user-mode emulation: counts the instructions the program executed and prints the total when it ends.
 * Needs no header of QEMU; `pi-count` builds it. One counter for all threads: exact for a program with one. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum { NO_REGISTERS = 0 };

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
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

static void at_exit(plugin_id id, void *unused)
{
    (void)id, (void)unused;
    fprintf(stderr, "instructions: %" PRIu64 "\n", instructions);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, at_exit, 0);
    return 0;
}
