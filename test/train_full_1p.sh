#!/usr/bin/env bash
# Trains the model zoo's network on one device to the end, then evaluates.
source "$(dirname "$0")/acceptance.sh"
acceptance full 1 "$@"
