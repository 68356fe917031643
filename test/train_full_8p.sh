#!/usr/bin/env bash
# Trains the model zoo's network on eight devices to the end, then evaluates.
source "$(dirname "$0")/acceptance.sh"
acceptance full 8 "$@"
