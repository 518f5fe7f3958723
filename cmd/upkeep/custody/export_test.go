package custody

// What the tests look at from outside.
var (
	InScratch    = inScratch
	SweepScratch = sweepScratch
)

// ScratchPrefix begins the names of working directories.
const ScratchPrefix = scratchPrefix
