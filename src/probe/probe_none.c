/* SPDX-License-Identifier: Apache-2.0 */
/* The room without BPF: built with GAIT_BPF=OFF, every probe says so. */
#include "probe/probe.h"

#if !GAIT_BPF

#include <errno.h>
#include <string.h>

static int absent(struct err *err)
{
	return err_set(err, ENOTSUP, "this gait was built without BPF (GAIT_BPF=OFF)");
}

int probe_new(const struct probe_opts *opts, struct probe **ret_probe, struct err *err)
{
	return absent(err);
}

void probe_free(struct probe *p)
{
}

int probe_follow(struct probe *p, pid_t pid, unsigned service, struct err *err)
{
	return absent(err);
}

int probe_follow_port(struct probe *p, uint16_t port, struct err *err)
{
	return absent(err);
}

int probe_follow_tls(struct probe *p, pid_t pid, struct err *err)
{
	return absent(err);
}

void probe_want_stamps(struct probe *p)
{
}

void probe_set_unwanted(struct probe *p, uint16_t local_port, unsigned unwanted)
{
}

int probe_pause(struct probe *p, struct err *err)
{
	return absent(err);
}

int probe_resume(struct probe *p, struct err *err)
{
	return absent(err);
}

uint64_t probe_sends(const struct probe *p)
{
	return 0;
}

uint64_t probe_service_cpu_ns(const struct probe *p)
{
	return 0;
}

int probe_look_at_runs(struct probe *p, bool look)
{
	return -ENOTSUP;
}

uint64_t probe_run_ns(const struct probe *p)
{
	return 0;
}

void probe_stop(struct probe *p)
{
}

int probe_poll(struct probe *p, int timeout_ms, probe_event_fn fn, void *arg)
{
	return -ENOTSUP;
}

int probe_drain(struct probe *p, probe_event_fn fn, void *arg)
{
	return -ENOTSUP;
}

int probe_losses(struct probe *p, struct probe_losses *ret_losses)
{
	return -ENOTSUP;
}

const struct thread_slot *probe_slots(const struct probe *p)
{
	return NULL;
}

int probe_slots_fd(const struct probe *p)
{
	return -ENOTSUP;
}

int probe_doctor(struct probe_check ret_checks[PROBE_CHECKS_MAX])
{
	ret_checks[0] = (struct probe_check){
		.name = "bpf", .what = "all probes", .needed = "capture, replay", .result = -ENOTSUP
	};
	strcpy(ret_checks[0].text, "built with GAIT_BPF=OFF; configure with -DGAIT_BPF=ON");
	return 1;
}

#endif
