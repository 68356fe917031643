#!/usr/bin/env bash
# Trains the model zoo's network on eight devices for a short time to measure its speed.
source "$(dirname "$0")/acceptance.sh"
acceptance performance 8 "$@"
