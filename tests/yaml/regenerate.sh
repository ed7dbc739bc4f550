#!/bin/sh
# Writes what kubectl reads in each file of the corpus beside it: NAME.yaml to NAME.jsonl. It needs Go.
set -eu
cd "$(dirname "$0")/oracle"
go run -mod=readonly . ../*.yaml
