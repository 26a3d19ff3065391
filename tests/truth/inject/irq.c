/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts a CPU every --period, each time for --spin, and writes when that was into --log:
 * start_ns,end_ns on CLOCK_MONOTONIC, as the interrupt itself saw it. Ends at SIGTERM.
 */
#include "irq.skel.h"
#include "truth.h"

#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
	uint64_t cpu, spin_ns, period_ns;
	const char *log;
} opts;

static const char usage[] = "usage: irq --cpu N --spin TIME --period TIME --log FILE\n";

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "cpu", .number = &opts.cpu },
		{ "spin", .number = &opts.spin_ns },
		{ "period", .number = &opts.period_ns },
		{ "log", .text = &opts.log },
		{ 0 },
	};

	take_options(table, argv, usage);
	if (!opts.log || !opts.spin_ns || opts.period_ns <= opts.spin_ns) {
		fputs(usage, stderr);
		exit(2);
	}
}

static int clock_open(void)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = opts.period_ns,
	};

	return must(syscall(SYS_perf_event_open, &attr, -1, (int)opts.cpu, -1,
			    PERF_FLAG_FD_CLOEXEC),
		    "perf_event_open");
}

static void write_log(const struct irq_bpf *skel)
{
	FILE *f = fopen(opts.log, "we");

	if (!f)
		die(opts.log);
	fprintf(f, "start_ns,end_ns\n");
	for (size_t i = 0; i < skel->bss->spins_count; i++)
		fprintf(f, "%ld,%ld\n", (int64_t)skel->bss->spins_start_ns[i],
			(int64_t)skel->bss->spins_end_ns[i]);
	if (fclose(f))
		die(opts.log);
}

int main(int argc, char **argv)
{
	struct bpf_link *link;
	struct irq_bpf *skel;
	sigset_t end;
	int number;

	parse(argv);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	skel = must_alloc(irq_bpf__open());
	skel->rodata->cfg_spin_ns = opts.spin_ns;
	must(irq_bpf__load(skel), "load");
	link = bpf_program__attach_perf_event(skel->progs.on_sample, clock_open());
	must(libbpf_get_error(link), "attach");
	puts("ready");
	fflush(stdout);
	sigwait(&end, &number);
	bpf_link__destroy(link);
	write_log(skel);
	irq_bpf__destroy(skel);
	return 0;
}
