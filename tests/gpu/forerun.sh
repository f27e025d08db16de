#!/usr/bin/env bash
# The program GPU_PROGRAM on a GPU, for scripts of tests/e2e: each command that computes gets the device, so that none of them
# goes to the processor unseen where "auto" finds the GPU wanting; and what computes products, if GPU_PRODUCTS says so.
case ${1:-} in
train | plan | preflight) exec "$GPU_PROGRAM" "$@" --set run.device=cuda ${GPU_PRODUCTS:+--set "run.products=$GPU_PRODUCTS"} ;;
eval | generate) exec "$GPU_PROGRAM" "$@" --device cuda ${GPU_PRODUCTS:+--products "$GPU_PRODUCTS"} ;;
*) exec "$GPU_PROGRAM" "$@" ;;
esac
