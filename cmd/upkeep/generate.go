package main

//go:generate sh -c "go run . kinds --markdown > ../../docs/kinds.md"
//go:generate sh -c "go run . schema > ../../docs/upkeep.schema.json"
