/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_SCENARIO_SCENARIO_H
#define GAIT_CLI_SCENARIO_SCENARIO_H

#include "base/err.h"
#include "base/spec.h"
#include "cli/scenario/words.h"
#include "replay/walk/schedule.h"

/*
 * A walk described in a file (YAML), as words of gait walk's command line:
 *
 *	services:                       names for addresses
 *	  front: 10.0.0.7:7891
 *	  db: 10.0.0.8:7891
 *	to: front
 *	threads: 4                      sessions, seed, timeout, request: as the options
 *	classes:
 *	  - name: read
 *	    weight: 9                   of ten requests nine (1)
 *	    request: 100                bytes, a spec
 *	    ops: -C 10us -F db -L 4k -R 4k -R 4k
 *	  - name: write
 *	    request: exp:2k
 *	    ops: [-C 20us, "-S 4k,sync", -R 64]
 *	phases:                         one after another
 *	  - {rate: 100, duration: 10s}
 *	  - {rate: "aseq:min=200:max=1000:step=200", every: 2s, duration: 10s}
 *	  - {rate: 1000, requests: 5000}
 *
 * rate and requests are of each thread. A single phase may also have a period (a spec), and requests
 * without a rate.
 *
 * Ops that do not all wait for one another are a graph: each says which it comes after, without that
 * the one before it. Calls that do not wait for one another run at once.
 *
 *	    ops:
 *	      - {name: parse, do: -C 20us}
 *	      - {name: user, do: -F db -L 4k -R 1k}
 *	      - {name: ads, do: -F ads -C 50us -R 2k, after: parse}
 *	      - {do: -C 100us, after: [user, ads]}
 *	      - -R 8k
 *
 * Several clients run at once, in one scenario. What a client does not say, the scenario says.
 *
 *	clients:
 *	  - {name: web, to: front, phases: [{rate: 1000, duration: 10s}]}
 *	  - {name: batch, to: db, threads: 1, request: 64k}
 */
#define SCENARIO_BYTES_MAX (1u << 20)
#define SCENARIO_SERVICES_MAX 256
#define SCENARIO_PHASES_MAX 4096
#define SCENARIO_STEPS_MAX 50000 /* values of the rate of all phases */

#define SCENARIO_CLIENTS_MAX 64
#define SCENARIO_OPS_MAX 256 /* of a graph */
#define SCENARIO_NAME_BYTES 32

struct scenario_client {
	char name[SCENARIO_NAME_BYTES]; /* empty: the scenario has but one, which is not named */
	struct words words;
	struct walk_class *classes; /* of the chain that the words are; owned. NULL: there is one */
	size_t classes_count;
};

struct scenario {
	struct scenario_client *clients; /* owned */
	size_t count;
};

/* 0, or a negative errno with a sentence that names file, line and field. */
int scenario_load(const char *path, struct scenario *ret_scenario, struct err *err);

/* The same of a text; `name` stands for the file in sentences, and `files` NULL: it may name none. */
int scenario_parse(const char *name, const char *text, size_t bytes, const struct spec_files *files,
		   struct scenario *ret_scenario, struct err *err);
void scenario_release(struct scenario *s);

#endif
