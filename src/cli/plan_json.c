/* The forecast as one JSON object; plan_report.c prints the same numbers for people.
 *
 * Keys are an interface: scripts read them, so a key keeps its name although the code's word for it may change
 * ("word_bytes" is the step summary). Texts from files pass fr_json_string and numbers that may not be finite pass
 * fr_json_real, since JSON has neither invalid UTF-8 nor infinities. Three objects are built apart and united,
 * because one format for all keys would be too long to check by eye.
 */
#include "cli/plan_report.h"

#include "base/json_out.h"

#include <jansson.h>
#include <stdlib.h>

static json_t *candidate_of(const fr_layout_candidate *c)
{
    return json_pack("{s:i, s:i, s:b, s:b, s:I, s:I, s:o, s:o}", "stages",
                     c->layout.n_stages, "replicas", c->layout.n_replicas, "possible",
                     (int)c->possible, "fits", (int)c->fits, "largest_bytes",
                     (json_int_t)c->largest_bytes, "largest_device_bytes",
                     (json_int_t)c->device_bytes, "step_seconds",
                     fr_json_real(c->seconds), "reason", fr_json_string(c->reason));
}

/* "total" is of the host's memory. The last nine are 0 where the device works in that. */
static json_t *memory_of(const fr_rank_memory *m)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
        "s:I, s:I, s:I}",
        "weights", (json_int_t)m->weights, "activations", (json_int_t)m->activations,
        "edges", (json_int_t)m->edges, "validation", (json_int_t)m->forward,
        "workspace", (json_int_t)m->workspace, "head", (json_int_t)m->head, "tasks",
        (json_int_t)m->tasks, "process", (json_int_t)m->process, "total",
        (json_int_t)m->total, "images", (json_int_t)m->images, "copies",
        (json_int_t)m->copies, "offload", (json_int_t)m->offload, "loading",
        (json_int_t)m->loading, "scratch", (json_int_t)m->scratch, "products",
        (json_int_t)m->products, "sums", (json_int_t)m->sums, "slack",
        (json_int_t)m->slack, "device", (json_int_t)m->device);
}

static json_t *stage_of(const fr_stage_forecast *s, double cost)
{
    return json_pack("{s:I, s:I, s:o, s:I, s:o, s:o, s:I, s:I, s:o}", "first_layer",
                     (json_int_t)s->first_layer, "layers", (json_int_t)s->n_layers,
                     "cost", fr_json_real(cost), "in_flight",
                     (json_int_t)s->max_in_flight, "forward_seconds",
                     fr_json_real(s->forward_seconds), "backward_seconds",
                     fr_json_real(s->backward_seconds), "reduction_bytes",
                     (json_int_t)s->reduction_bytes, "backward_bytes",
                     (json_int_t)s->backward_bytes, "memory", memory_of(&s->memory));
}

static json_t *task_of(const fr_plan_task *task, const fr_task_workload *l)
{
    return json_pack(
        "{s:o, s:b, s:o, s:I, s:b, s:o, s:o, s:o, s:o, s:I, s:I}", "name",
        fr_json_string(task->name), "from_rows", (int)task->from_rows, "source",
        fr_json_string(task->source), "prefix_length", (json_int_t)l->length,
        "length_assumed", (int)task->length_assumed, "rows", fr_json_real(l->step_rows),
        "unshared_rows", fr_json_real(l->unshared_rows), "useful_tokens",
        fr_json_real(l->useful_tokens), "target_rows", fr_json_real(l->counted_tokens),
        "microbatches_a_replica", (json_int_t)l->n_microbatches, "largest_microbatch",
        (json_int_t)l->max_rows);
}

static json_t *candidates_of(const fr_plan_report *r)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < r->n_candidates; i++) {
        (void)json_array_append_new(list, candidate_of(&r->candidates[i]));
    }
    return list;
}

static json_t *stages_of(const fr_plan_report *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->forecast->n_stages; i++) {
        (void)json_array_append_new(
            list, stage_of(&r->forecast->stages[i], fr_plan_stage_cost(r, i)));
    }
    return list;
}

static json_t *tasks_of(const fr_plan_report *r)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < r->problem->n_tasks; i++) {
        (void)json_array_append_new(list, task_of(&r->tasks[i], &r->input->tasks[i]));
    }
    return list;
}

static json_t *loading_of(const fr_plan_loading *l)
{
    return json_pack(
        "{s:I, s:b, s:I, s:I, s:I, s:I, s:b, s:I, s:f, s:f, s:f}", "model_bytes",
        (json_int_t)l->model_bytes, "file_is_here", (int)l->file_is_here, "nodes",
        (json_int_t)l->n_nodes, "node_bytes", (json_int_t)l->node_bytes, "total_bytes",
        (json_int_t)l->total_bytes, "disk", (json_int_t)l->disk, "disk_assumed",
        (int)l->disk_assumed, "disk_shared", (json_int_t)l->disk_shared, "read_seconds",
        l->read_seconds, "hash_bytes_a_second", l->hash_rate, "hash_seconds",
        l->hash_seconds);
}

/* null where a layout fits */
static json_t *needed_of(const fr_plan_report *r)
{
    return r->chosen->fits
               ? json_null()
               : json_pack("{s:I, s:I, s:I, s:i}", "rank_bytes",
                           (json_int_t)r->needed.rank_bytes, "device_bytes",
                           (json_int_t)r->needed.device_bytes, "node_bytes",
                           (json_int_t)(r->needed.rank_bytes * r->ranks_per_node),
                           "stages", r->needed.n_stages);
}

/* NULL without memory. json_pack takes over the objects that it is given with "o". */
static json_t *report_of(const fr_plan_report *r)
{
    const fr_forecast *f = r->forecast;
    const fr_machine *m = &r->problem->machine;
    json_t *layout = json_pack(
        "{s:i, s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:i, s:I, s:o, s:o, s:o, s:b, s:b, "
        "s:o, s:o, s:b}",
        "ranks", r->problem->n_ranks, "stages", r->chosen->layout.n_stages, "replicas",
        r->chosen->layout.n_replicas, "fits", (int)r->chosen->fits, "rank_memory",
        (json_int_t)r->problem->limits.memory, "device_memory",
        (json_int_t)r->problem->limits.device_memory, "ranks_per_device",
        (json_int_t)r->ranks_per_device, "microbatch_tokens_auto",
        (json_int_t)r->problem->microbatch_tokens, "largest_stage", f->largest,
        "largest_bytes", (json_int_t)f->stages[f->largest].memory.total, "flops",
        fr_json_real(m->flops), "link_bytes_a_second", fr_json_real(m->between.bytes),
        "link_seconds", fr_json_real(m->between.seconds), "flops_assumed",
        (int)r->flops_assumed, "link_assumed", (int)r->link_assumed,
        "node_link_bytes_a_second", fr_json_real(m->inside.bytes), "node_link_seconds",
        fr_json_real(m->inside.seconds), "node_link_assumed",
        (int)r->node_link_assumed);
    json_t *time = json_pack(
        "{s:I, s:I, s:I, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}",
        "edge_bytes", (json_int_t)f->edge_bytes, "word_bytes",
        (json_int_t)f->summary_bytes, "message_bytes", (json_int_t)f->message_bytes,
        "message_seconds", fr_json_real(f->message_seconds), "shortest_pass_seconds",
        fr_json_real(f->shortest_pass), "link_hides", (int)f->link_hides, "link_bound",
        (int)f->link_bound, "step_seconds", fr_json_real(f->round_seconds),
        "tokens_per_second", fr_json_real(f->tokens_per_second), "bubble",
        fr_json_real(f->bubble), "bubble_formula", fr_json_real(f->bubble_formula),
        "balance", fr_json_real(f->balance), "simulated_passes",
        (json_int_t)f->n_simulated, "replicas_on_several_nodes",
        (json_int_t)f->n_spanning, "edges_between_nodes", (json_int_t)f->n_leaving);
    json_t *lists =
        json_pack("{s:o, s:o, s:o, s:o, s:o}", "tasks", tasks_of(r), "candidates",
                  candidates_of(r), "stage", stages_of(r), "loading",
                  loading_of(&r->loading), "needed", needed_of(r));
    if (layout == NULL || time == NULL || lists == NULL ||
        json_object_update(layout, time) != 0 ||
        json_object_update(layout, lists) != 0) {
        json_decref(layout);
        layout = NULL;
    }
    json_decref(time);
    json_decref(lists);
    return layout;
}

fr_status fr_plan_print_json(fr_ctx *ctx, const fr_plan_report *report, FILE *out)
{
    json_t *object = report_of(report);
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text == NULL) {
        return FR_FAIL(ctx, FR_ERR_NO_MEMORY, "not enough memory for the JSON object");
    }
    (void)fprintf(out, "%s\n", text);
    free(text);
    return FR_OK;
}
