/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/probe.h"

#if GAIT_BPF

#include "base/clock.h"
#include "probe/expand.h"
#include "probe/held.h"
#include "probe/here.h"
#include "probe/hooks.h"
#include "probe/steal.h"
#include "probe/syscalls.h"
#include "probe/tls.h"

#include "gait.skel.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INITIAL_PID_NAMESPACE 0xeffffffcu /* include/linux/proc_ns.h: PROC_PID_INIT_INO */
#define BTF_PATH "/sys/kernel/btf/vmlinux"
#define RING_BYTES_DEFAULT (64u << 20)

struct user_file;

struct probe {
	struct gait_bpf *skel;
	struct ring_buffer *ring;
	struct thread_slot *slots;
	struct expander *expander;
	int stats_fd;	       /* open while runs are looked at; 0: not */
	bool stamps_tried;     /* on_data_ready is attached, or cannot be */
	struct tls_files *tls; /* that have been looked at */
	struct user_file **user_files;
	size_t user_files_count;
	probe_event_fn fn; /* of the poll that is going on */
	void *arg;
};

/* libbpf says why only through its printer; the last warning is kept for the sentence. */
static __thread char libbpf_word[160];

__attribute__((format(printf, 2, 0))) static int keep_word(enum libbpf_print_level level,
							   const char *fmt, va_list args)
{
	size_t len;

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(libbpf_word, sizeof(libbpf_word), fmt, args);
	len = strcspn(libbpf_word, "\n");
	libbpf_word[len] = 0;
	return 0;
}

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

/* The kernel side numbers processes as the initial namespace does; elsewhere pids mean others. */
static bool in_initial_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == INITIAL_PID_NAMESPACE;
}

static int check_ground(struct err *err)
{
	if (!in_initial_pid_namespace())
		return err_set(
			err, ENOTSUP,
			"gait runs in a PID namespace of its own (a container?), where process "
			"numbers are not the kernel's: run it on the host, or share the host's "
			"PID namespace");
	if (access(BTF_PATH, R_OK))
		return err_set(
			err, ENOTSUP,
			"this kernel shows no type information (%s is missing): gait needs a "
			"kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions ship it",
			BTF_PATH);
	return 0;
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
		       strerror(-rc), libbpf_word[0] ? libbpf_word : "no further word from libbpf");
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
	p->skel = gait_bpf__open();
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
	int rc = check_ground(err);

	if (rc)
		return rc;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_errno(err, ENOMEM, "cannot load BPF programs");
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(keep_word);
	libbpf_word[0] = 0;
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

/* A file that has probes. They come and go with pauses, so it is kept open: its path may be gone. */
struct user_file {
	int fd;
	struct tls_plan plan;
	struct bpf_link *links[TLS_PROBES_MAX]; /* NULL: not attached now */
};

static void detach_user_file(struct user_file *f)
{
	for (size_t i = 0; i < f->plan.count; i++) {
		bpf_link__destroy(f->links[i]);
		f->links[i] = NULL;
	}
}

static struct bpf_link *attach_user_probe(struct probe *p, const struct user_file *f,
					  const struct tls_probe *at)
{
	struct bpf_program *program = at->leaves ? p->skel->progs.on_tls_leave :
						   p->skel->progs.on_tls_enter;
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = at->cookie, .retprobe = at->by_return);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	return bpf_program__attach_uprobe_opts(program, -1, path, at->offset, &opts);
}

/* All probes of a file or none: a function that is entered must be left. */
static int attach_user_file(struct probe *p, struct user_file *f)
{
	int rc = 0;

	for (size_t i = 0; i < f->plan.count && !rc; i++) {
		f->links[i] = attach_user_probe(p, f, &f->plan.probes[i]);
		rc = f->links[i] ? 0 : -errno;
	}
	if (rc)
		detach_user_file(f);
	return rc;
}

static void user_file_free(struct user_file *f)
{
	if (!f)
		return;
	detach_user_file(f);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static struct user_file *user_file_new(const char *path, const struct tls_plan *plan)
{
	struct user_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->plan = *plan;
	f->fd = open(path, O_PATH | O_CLOEXEC);
	if (f->fd >= 0)
		return f;
	user_file_free(f);
	return NULL;
}

static int keep_user_file(struct probe *p, struct user_file *f)
{
	struct user_file **files =
		realloc(p->user_files, (p->user_files_count + 1) * sizeof(*p->user_files));

	if (!files)
		return -ENOMEM;
	p->user_files = files;
	files[p->user_files_count++] = f;
	return 0;
}

static int attach_tls(void *arg, const char *path, const struct tls_plan *plan)
{
	struct probe *p = arg;
	struct user_file *f;
	int rc;

	if (bpf_program__fd(p->skel->progs.on_tls_enter) < 0)
		return -ENOTSUP;
	f = user_file_new(path, plan);
	if (!f)
		return -errno;
	/* in a pause they are attached at its end */
	rc = p->skel->bss->resumed_ns == SLOT_FROZEN_NS ? 0 : attach_user_file(p, f);
	if (!rc)
		rc = keep_user_file(p, f);
	if (rc)
		user_file_free(f);
	return rc;
}

static void free_user_files(struct probe *p)
{
	while (p->user_files_count)
		user_file_free(p->user_files[--p->user_files_count]);
	free(p->user_files);
}

void probe_free(struct probe *p)
{
	if (!p)
		return;
	probe_look_at_runs(p, false);
	free_user_files(p);
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
	size_t before = p->user_files_count;
	int rc;

	if (!p->tls)
		p->tls = tls_files_new();
	if (!p->tls)
		return err_errno(err, ENOMEM, "cannot look for TLS libraries");
	rc = tls_files_look(p->tls, pid, attach_tls, p, err);
	return rc < 0 ? rc : (int)(p->user_files_count - before);
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
	for (size_t i = 0; i < p->user_files_count && !rc; i++)
		detach_user_file(p->user_files[i]);
	return rc;
}

static int attach_again(struct bpf_prog_skeleton *s, struct err *err)
{
	if (*s->link || !bpf_program__autoload(*s->prog) || is_steady(s->name) || is_late(s->name))
		return 0;
	*s->link = bpf_program__attach(*s->prog);
	return *s->link ? 0 : err_errno(err, errno, "cannot attach '%s' again", s->name);
}

static int attach_user_again(struct probe *p, struct user_file *f, struct err *err)
{
	int rc = attach_user_file(p, f);

	return rc ? err_errno(err, -rc, "cannot attach to a TLS library again") : 0;
}

int probe_resume(struct probe *p, struct err *err)
{
	struct bpf_object_skeleton *s = p->skel->skeleton;
	int rc = rebase(p, REBASE_FREEZE, err);

	for (int i = 0; i < s->prog_cnt && !rc; i++)
		rc = attach_again(&s->progs[i], err);
	for (size_t i = 0; i < p->user_files_count && !rc; i++)
		rc = attach_user_again(p, p->user_files[i], err);
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
	for (size_t i = 0; i < p->user_files_count; i++)
		detach_user_file(p->user_files[i]);
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
 * is one that sleeps: it would have ignored them.
 */
static void add_misses(struct probe *p, const struct hook *hook, struct probe_losses *ret)
{
	uint64_t misses = hook->use & USE_SLEEP ? 0 : misses_of(p, hook->program);
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
		add_misses(p, &hooks[i], ret_losses);
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

/* A skeleton of which the programs that are wanted are loaded; NULL and errno: they were refused. */
static struct gait_bpf *load_wanted(const bool wanted[HOOKS_MAX])
{
	struct gait_bpf *skel = gait_bpf__open();
	int rc;

	if (!skel)
		return NULL;
	bpf_map__set_max_entries(skel->maps.events, 4096);
	for (size_t i = 0; i < hooks_count; i++)
		bpf_program__set_autoload(
			bpf_object__find_program_by_name(skel->obj, hooks[i].program), wanted[i]);
	rc = gait_bpf__load(skel);
	if (!rc)
		return skel;
	gait_bpf__destroy(skel);
	errno = -rc;
	return NULL;
}

static int try_attach(struct gait_bpf *skel, const struct hook *hook)
{
	struct bpf_program *program = bpf_object__find_program_by_name(skel->obj, hook->program);
	struct bpf_link *link = bpf_program__attach(program);

	if (!link)
		return -errno;
	bpf_link__destroy(link);
	return 0;
}

/* Loads one program alone. */
static int try_program(size_t at)
{
	bool wanted[HOOKS_MAX] = { false };
	struct gait_bpf *skel;
	int rc;

	wanted[at] = true;
	skel = load_wanted(wanted);
	if (!skel)
		return -errno;
	rc = try_attach(skel, &hooks[at]);
	gait_bpf__destroy(skel);
	return rc;
}

/*
 * Loading is the only honest test of whether a program loads. All that the kernel has hooks for are
 * loaded at once, which on most is the end of it; else each alone, to see which it is.
 */
static struct gait_bpf *try_together(const bool chosen[HOOKS_MAX], const struct hook_kernel *here)
{
	bool wanted[HOOKS_MAX] = { false };

	for (size_t i = 0; i < hooks_count; i++)
		wanted[i] = chosen[i] && hooks[i].kind != HOOK_USER && hook_fits(&hooks[i], here);
	return load_wanted(wanted);
}

/* Another program hangs where this one does, and was tried. */
static int tried_before(size_t at, const int results[HOOKS_MAX])
{
	for (size_t i = 0; i < at; i++)
		if (results[i] <= 0 && hooks[at].target && hooks[i].kind == hooks[at].kind &&
		    !strcmp(hooks[i].target, hooks[at].target))
			return i;
	return -1;
}

/* Results that are not there yet are 1. A hook is tried once: to let go of it takes a while. */
static int try_hook(struct gait_bpf *together, size_t at, const struct hook_kernel *here,
		    const int results[HOOKS_MAX])
{
	int before = together ? tried_before(at, results) : -1;

	if (!hook_fits(&hooks[at], here))
		return -ENOENT;
	if (before >= 0)
		return results[before];
	return together ? try_attach(together, &hooks[at]) : try_program(at);
}

static const char *hook_needed(const struct hook *hook)
{
	if (hook->use & USE_OPTIONAL)
		return "optional";
	if ((hook->use & USE_BOTH) == USE_BOTH)
		return "capture, replay";
	if (hook->use & (USE_REQUESTS | USE_COUNT))
		return "optional"; /* for --detail requests */
	return hook->use & USE_CAPTURE ? "capture" : "replay";
}

/* Optional hooks that no candidate serves are not chosen, but told of. */
static bool is_absent(size_t at, const bool chosen[HOOKS_MAX])
{
	if (hooks[at].instead_of)
		return false;
	for (size_t i = 0; i < hooks_count; i++)
		if (chosen[i] && hooks[i].instead_of &&
		    !strcmp(hooks[i].instead_of, hooks[at].program))
			return false;
	return !chosen[at];
}

static void advise(struct probe_check *check)
{
	if (check->result == -EPERM || check->result == -EACCES)
		snprintf(check->text, sizeof(check->text),
			 "not permitted: run as root, or give CAP_BPF and CAP_PERFMON");
	else if (check->result == -ESRCH || check->result == -ENOENT)
		snprintf(check->text, sizeof(check->text), "this kernel has no such tracepoint");
	else if (check->result)
		snprintf(check->text, sizeof(check->text), "%s", libbpf_word);
}

/* The host's own library, for a start: containers bring theirs. */
static int try_tls(struct err *err)
{
	struct gait_bpf *skel = gait_bpf__open();
	struct probe p = { .skel = skel };
	struct bpf_program *program;
	int rc;

	if (!skel)
		return err_errno(err, errno, "cannot load BPF programs");
	bpf_map__set_max_entries(skel->maps.events, 4096);
	bpf_object__for_each_program(program, skel->obj)
		bpf_program__set_autoload(program, program == skel->progs.on_tls_enter ||
							   program == skel->progs.on_tls_leave);
	rc = gait_bpf__load(skel);
	rc = rc ? err_errno(err, -rc, "cannot load BPF programs") :
		  tls_try_host(attach_tls, &p, err);
	free_user_files(&p);
	gait_bpf__destroy(skel);
	return rc;
}

static void check_tls(struct probe_check *ret)
{
	struct err err = { "" };

	*ret = (struct probe_check){ .name = "uprobe OpenSSL",
				     .hook = hook_kind_names[HOOK_USER],
				     .what = "plaintext of TLS services",
				     .needed = "optional",
				     .result = try_tls(&err) };
	snprintf(ret->text, sizeof(ret->text), "%.159s", err.text);
}

static int check_hooks(struct probe_check *ret_checks, const struct hook_kernel *here)
{
	struct gait_bpf *together;
	bool chosen[HOOKS_MAX];
	int results[HOOKS_MAX], count = 0;

	hooks_choose(here, USE_ANY, chosen);
	together = try_together(chosen, here);
	for (size_t i = 0; i < hooks_count; i++) {
		const struct hook *hook = &hooks[i];

		results[i] = 1;
		if (hook->kind == HOOK_USER || (!chosen[i] && !is_absent(i, chosen)))
			continue;
		libbpf_word[0] = 0;
		results[i] = try_hook(together, i, here, results);
		ret_checks[count] = (struct probe_check){
			.name = hook->target ? hook->target : hook->program,
			.hook = hook_kind_names[hook->kind],
			.group = hook_group(hook),
			.what = hook->what,
			.needed = hook_needed(hook),
			.result = results[i],
		};
		advise(&ret_checks[count++]);
	}
	gait_bpf__destroy(together);
	return count;
}

static_assert(PROBE_CHECKS_MAX >= HOOKS_MAX + 2, "each hook, the ground and TLS");

int probe_doctor(struct probe_check ret_checks[PROBE_CHECKS_MAX])
{
	struct here here;
	struct hook_kernel kernel = { here_args, &here };
	struct err err;
	int count = 0;

	ret_checks[count++] = (struct probe_check){ .name = "ground",
						    .what = "type information, process numbers",
						    .needed = "capture, replay",
						    .result = check_ground(&err) };
	if (ret_checks[0].result) {
		snprintf(ret_checks[0].text, sizeof(ret_checks[0].text), "%.159s", err.text);
		return count;
	}
	libbpf_set_print(keep_word);
	here = here_of(btf__load_vmlinux_btf());
	if (here.btf)
		count += check_hooks(ret_checks + count, &kernel);
	check_tls(&ret_checks[count++]);
	btf__free(here.btf);
	return count;
}

#endif
