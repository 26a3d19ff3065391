/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/probe.h"

#if GAIT_BPF

#include "base/clock.h"
#include "probe/expand.h"
#include "probe/held.h"
#include "probe/ground.h"
#include "probe/here.h"
#include "probe/hooks.h"
#include "probe/steal.h"
#include "probe/syscalls.h"
#include "probe/tls.h"
#include "probe/user_files.h"

#include "gait.skel.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES_DEFAULT (64u << 20)

struct probe {
	struct gait_bpf *skel;
	struct ring_buffer *ring;
	struct thread_slot *slots;
	struct expander *expander;
	int stats_fd;	       /* open while runs are looked at; 0: not */
	bool stamps_tried;     /* on_data_ready is attached, or cannot be */
	struct tls_files *tls; /* that have been looked at */
	struct user_files user_files;
	probe_event_fn fn; /* of the poll that is going on */
	void *arg;
};

/* Only the programs of this mode are loaded, and of candidates the best that can be. */
static void choose_programs(struct bpf_object *object, struct btf *btf, unsigned use)
{
	bool user = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_KPROBE, NULL) == 1;
	struct here here = here_of(btf);
	struct hook_kernel kernel = { here_args, &here };
	bool chosen[HOOKS_MAX];

	hooks_choose(&kernel, use, chosen);
	for (size_t i = 0; i < hooks_count; i++) {
		bool can = hooks[i].kind == HOOK_USER ? user : chosen[i];

		bpf_program__set_autoload(bpf_object__find_program_by_name(object,
									   hooks[i].program),
					  (hooks[i].use & use) && can);
	}
}

static int refusal(struct err *err, int rc)
{
	if (rc == -EPERM || rc == -EACCES)
		return err_set(
			err, EPERM,
			"cannot load BPF programs: not permitted; run gait as root, or give it "
			"CAP_BPF and CAP_PERFMON");
	return err_set(err, -rc,
		       "cannot load BPF programs: %s (%s); `gait doctor` tries them one by one",
		       strerror(-rc),
		       ground_word()[0] ? ground_word() : "no further word from libbpf");
}

/* A stack, slot 0 on top: what comes and goes does so in few slots, whose memory is warm. */
static int fill_free_slots(struct gait_bpf *skel)
{
	int fd = bpf_map__fd(skel->maps.free_slots);

	for (uint32_t i = PROBE_THREADS_MAX; i--;)
		if (bpf_map_update_elem(fd, NULL, &i, BPF_ANY))
			return -errno;
	return 0;
}

/* Frozen: from now on user space can only look; the kernel side goes on writing. */
static int map_slots(struct probe *p)
{
	int fd = bpf_map__fd(p->skel->maps.slots);
	void *at;

	if (bpf_map_freeze(fd))
		return -errno;
	at = mmap(NULL, PROBE_THREADS_MAX * sizeof(struct thread_slot), PROT_READ, MAP_SHARED, fd,
		  0);
	if (at == MAP_FAILED)
		return -errno;
	p->slots = at;
	return 0;
}

static int on_ring_event(void *ctx, void *data, size_t size)
{
	struct probe *p = ctx;
	const void *event = expander_take(p->expander, data, size, &size);

	return event ? p->fn(p->arg, event, size) : 0;
}

static int load(struct probe *p, const struct probe_opts *opts)
{
	static const unsigned uses[] = {
		[PROBE_CAPTURE] = USE_CAPTURE,
		[PROBE_REQUESTS] = USE_REQUESTS,
		[PROBE_RUN] = USE_RUN,
	};
	struct btf *btf = btf__load_vmlinux_btf();
	int rc;

	if (!btf)
		return -errno;
	p->skel = p->user_files.skel = gait_bpf__open();
	if (!p->skel) {
		rc = -errno;
		goto out;
	}
	choose_programs(p->skel->obj, btf, uses[opts->mode] | (opts->counts_sends ? USE_COUNT : 0));
	p->skel->rodata->cfg_sample = opts->sample;
	p->skel->rodata->cfg_steal_from_rq = steal_from_rq(btf);
	p->skel->rodata->cfg_held_flag = held_flag(btf);
	p->skel->rodata->cfg_requests_only = opts->mode == PROBE_REQUESTS;
	p->skel->rodata->cfg_logs = opts->mode == PROBE_RUN;
	syscalls_classify((struct syscall_class *)p->skel->rodata->cfg_syscalls);
	if (opts->mode == PROBE_RUN)
		bpf_map__set_max_entries(p->skel->maps.events, 256 << 10);
	else
		bpf_map__set_max_entries(p->skel->maps.events,
					 opts->ring_bytes ? opts->ring_bytes : RING_BYTES_DEFAULT);
	rc = gait_bpf__load(p->skel);
out:
	btf__free(btf);
	return rc;
}

static int attach(struct probe *p)
{
	int rc;

	bpf_program__set_autoattach(p->skel->progs.follow_targets, false);
	bpf_program__set_autoattach(p->skel->progs.rebase_threads, false);
	bpf_program__set_autoattach(p->skel->progs.on_data_ready, false);
	bpf_program__set_autoattach(p->skel->progs.on_data_readable, false);
	bpf_program__set_autoattach(p->skel->progs.on_data_readable_probe, false);
	rc = fill_free_slots(p->skel);
	if (!rc)
		rc = map_slots(p);
	if (!rc)
		rc = gait_bpf__attach(p->skel);
	if (rc)
		return rc;
	p->ring = ring_buffer__new(bpf_map__fd(p->skel->maps.events), on_ring_event, p, NULL);
	return p->ring ? 0 : -errno;
}

int probe_new(const struct probe_opts *opts, struct probe **ret_probe, struct err *err)
{
	struct probe *p;
	int rc = ground_check(err);

	if (rc)
		return rc;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_errno(err, ENOMEM, "cannot load BPF programs");
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	ground_listen();
	p->expander = expander_new();
	rc = p->expander ? load(p, opts) : -ENOMEM;
	if (!rc)
		rc = attach(p);
	if (rc) {
		probe_free(p);
		return refusal(err, rc);
	}
	*ret_probe = p;
	return 0;
}

void probe_free(struct probe *p)
{
	if (!p)
		return;
	probe_look_at_runs(p, false);
	user_files_release(&p->user_files);
	tls_files_free(p->tls);
	ring_buffer__free(p->ring);
	if (p->slots)
		munmap(p->slots, PROBE_THREADS_MAX * sizeof(struct thread_slot));
	gait_bpf__destroy(p->skel);
	expander_free(p->expander);
	free(p);
}

/* The iterator visits every task once. */
static int run_iterator(struct bpf_program *program)
{
	struct bpf_link *link = bpf_program__attach_iter(program, NULL);
	char buf[64];
	int fd, rc = 0;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		rc = -errno;
		goto out;
	}
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
out:
	bpf_link__destroy(link);
	return rc;
}

int probe_follow(struct probe *p, pid_t pid, unsigned service, struct err *err)
{
	uint32_t key = pid, value = service;
	int rc;

	if (kill(pid, 0) && errno == ESRCH)
		return err_set(err, ESRCH, "there is no process %d", (int)pid);
	if (bpf_map_update_elem(bpf_map__fd(p->skel->maps.targets), &key, &value, BPF_ANY))
		return err_errno(err, errno, "cannot follow process %d", (int)pid);
	rc = run_iterator(p->skel->progs.follow_targets);
	if (rc)
		return err_errno(err, -rc, "cannot look up the threads of process %d", (int)pid);
	return 0;
}

int probe_follow_port(struct probe *p, uint16_t port, struct err *err)
{
	p->skel->bss->followed_ports[port] |= 1;
	return 0;
}

int probe_follow_tls(struct probe *p, pid_t pid, struct err *err)
{
	size_t before = p->user_files.count;
	int rc;

	if (!p->tls)
		p->tls = tls_files_new();
	if (!p->tls)
		return err_errno(err, ENOMEM, "cannot look for TLS libraries");
	rc = tls_files_look(p->tls, pid, user_files_attach, &p->user_files, err);
	return rc < 0 ? rc : (int)(p->user_files.count - before);
}

void probe_set_unwanted(struct probe *p, uint16_t local_port, unsigned unwanted)
{
	p->skel->bss->unwanted_bytes[local_port] = unwanted;
}

void probe_want_stamps(struct probe *p)
{
	p->skel->bss->stamps_wanted = 1;
}

static bool is_steady(const char *name)
{
	const struct hook *hook = hook_find(name);

	return hook && (hook->use & USE_STEADY || !hook->target);
}

static bool is_late(const char *name)
{
	const struct hook *hook = hook_find(name);

	return hook && hook->use & USE_LATE;
}

/* They run for every segment of TCP too, on the whole host: only where somebody needs it. */
static void attach_stamps(struct probe *p)
{
	struct bpf_object_skeleton *s = p->skel->skeleton;

	if (p->stamps_tried || !p->skel->bss->stamps_wanted)
		return;
	p->stamps_tried = true;
	for (int i = 0; i < s->prog_cnt; i++)
		if (is_late(s->progs[i].name) && bpf_program__autoload(*s->progs[i].prog))
			*s->progs[i].link = bpf_program__attach(*s->progs[i].prog);
}

int probe_poll(struct probe *p, int timeout_ms, probe_event_fn fn, void *arg)
{
	int rc;

	attach_stamps(p);
	p->fn = fn;
	p->arg = arg;
	rc = ring_buffer__poll(p->ring, timeout_ms);
	/* most events come without a wake-up */
	return rc == 0 ? ring_buffer__consume(p->ring) : rc;
}

static int rebase(struct probe *p, enum rebase how, struct err *err)
{
	int rc;

	p->skel->bss->rebase_how = how;
	rc = run_iterator(p->skel->progs.rebase_threads);
	return rc ? err_errno(err, -rc, "cannot bring the threads' counters up to date") : 0;
}

int probe_pause(struct probe *p, struct err *err)
{
	struct bpf_object_skeleton *s = p->skel->skeleton;
	int rc = rebase(p, REBASE_CLOSE, err);

	p->skel->bss->resumed_ns = SLOT_FROZEN_NS;
	p->stamps_tried = false;
	for (int i = 0; i < s->prog_cnt && !rc; i++) {
		if (is_steady(s->progs[i].name))
			continue;
		bpf_link__destroy(*s->progs[i].link);
		*s->progs[i].link = NULL;
	}
	if (!rc)
		user_files_detach(&p->user_files);
	return rc;
}

static int attach_again(struct bpf_prog_skeleton *s, struct err *err)
{
	if (*s->link || !bpf_program__autoload(*s->prog) || is_steady(s->name) || is_late(s->name))
		return 0;
	*s->link = bpf_program__attach(*s->prog);
	return *s->link ? 0 : err_errno(err, errno, "cannot attach '%s' again", s->name);
}

int probe_resume(struct probe *p, struct err *err)
{
	struct bpf_object_skeleton *s = p->skel->skeleton;
	int rc = rebase(p, REBASE_FREEZE, err);

	for (int i = 0; i < s->prog_cnt && !rc; i++)
		rc = attach_again(&s->progs[i], err);
	if (!rc)
		rc = user_files_attach_again(&p->user_files, err);
	if (rc)
		return rc;
	p->skel->bss->resumed_ns = clock_now_ns();
	return rebase(p, REBASE_THAW, err);
}

uint64_t probe_sends(const struct probe *p)
{
	return p->skel->bss->sends;
}

static bool is_first_of_process(const struct thread_slot *slots, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (slots[i].tid && slots[i].tgid == slots[at].tgid)
			return false;
	return true;
}

uint64_t probe_service_cpu_ns(const struct probe *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < PROBE_THREADS_MAX; i++) {
		struct timespec ts;
		clockid_t clock;

		if (p->slots[i].tid && is_first_of_process(p->slots, i) &&
		    !clock_getcpuclockid(p->slots[i].tgid, &clock) && !clock_gettime(clock, &ts))
			sum += ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
	}
	return sum;
}

void probe_stop(struct probe *p)
{
	/* its probes go one after the other: what is seen meanwhile would be halves of turns */
	p->skel->bss->tls_stopped = 1;
	gait_bpf__detach(p->skel);
	user_files_detach(&p->user_files);
}

int probe_drain(struct probe *p, probe_event_fn fn, void *arg)
{
	p->fn = fn;
	p->arg = arg;
	return ring_buffer__consume(p->ring);
}

static bool program_info(const struct probe *p, const char *name, struct bpf_prog_info *ret_info)
{
	struct bpf_program *program = bpf_object__find_program_by_name(p->skel->obj, name);
	uint32_t len = sizeof(*ret_info);
	int fd = bpf_program__fd(program);

	memset(ret_info, 0, sizeof(*ret_info));
	return fd >= 0 && !bpf_obj_get_info_by_fd(fd, ret_info, &len); /* else not of this mode */
}

static uint64_t misses_of(struct probe *p, const char *name)
{
	struct bpf_prog_info info;

	return program_info(p, name, &info) ? info.recursion_misses : 0;
}

int probe_look_at_runs(struct probe *p, bool look)
{
	if (p->stats_fd > 0)
		close(p->stats_fd);
	p->stats_fd = look ? bpf_enable_stats(BPF_STATS_RUN_TIME) : 0;
	return p->stats_fd < 0 ? p->stats_fd : 0;
}

uint64_t probe_run_ns(const struct probe *p)
{
	struct bpf_prog_info info;
	uint64_t sum = 0;

	for (size_t i = 0; i < hooks_count; i++)
		if (program_info(p, hooks[i].program, &info))
			sum += info.run_time_ns;
	return sum;
}

/*
 * A program does not run where it interrupts itself. While one of USE_SLEEP runs only an interrupt can come
 * (the kernel keeps the CPU to itself around tracepoints), and of the locks that an interrupt waits for none
 * is one that sleeps: it would have ignored them. Of two that do the same only what both skipped is lost.
 */
static uint64_t misses_at(struct probe *p, size_t at)
{
	uint64_t misses, before;

	if (hooks[at].use & USE_SLEEP || (at + 1 < hooks_count && hooks[at + 1].use & USE_AGAIN))
		return 0;
	misses = misses_of(p, hooks[at].program);
	before = hooks[at].use & USE_AGAIN ? misses_of(p, hooks[at - 1].program) : misses;
	return misses < before ? misses : before;
}

static void add_misses(struct probe *p, size_t at, struct probe_losses *ret)
{
	const struct hook *hook = &hooks[at];
	uint64_t misses = misses_at(p, at);
	size_t len = strlen(ret->missed);

	if (hook->use & USE_STAMP) {
		ret->stamp_misses += misses;
		return;
	}
	ret->misses += misses;
	if (misses)
		snprintf(ret->missed + len, sizeof(ret->missed) - len, "%s%s %lu", len ? ", " : "",
			 hook->program, misses);
}

int probe_losses(struct probe *p, struct probe_losses *ret_losses)
{
	memset(ret_losses, 0, sizeof(*ret_losses));
	for (size_t i = 0; i < LOSS_COUNT; i++)
		ret_losses->count[i] = p->skel->bss->losses[i];
	ret_losses->unsampled = p->skel->bss->sockets_unsampled;
	for (size_t i = 0; i < hooks_count; i++)
		add_misses(p, i, ret_losses);
	ret_losses->misses += ret_losses->count[LOSS_RETURNS];
	return 0;
}

const struct thread_slot *probe_slots(const struct probe *p)
{
	return p->slots;
}

int probe_slots_fd(const struct probe *p)
{
	return bpf_map__fd(p->skel->maps.slots);
}

#endif
