#!/usr/bin/env bash
# The program GPU_PROGRAM on a GPU, for scripts of tests/e2e: each command that computes gets the device, so that none of them
# goes to the processor unseen where "auto" finds the GPU wanting.
case ${1:-} in
train | plan | preflight) exec "$GPU_PROGRAM" "$@" --set run.device=cuda ;;
eval | generate) exec "$GPU_PROGRAM" "$@" --device cuda ;;
*) exec "$GPU_PROGRAM" "$@" ;;
esac
