// Package artifact is what the kinds that put artifacts into stores share:
// their options, the way from a stream of bytes through compression into one
// or several stores at once, the proof read back, and retention afterwards. It
// knows nothing about what is in an artifact.
package artifact

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/internal/frame"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/retention"
)

// Options are the options that every kind which publishes artifacts has. Kinds
// embed them with `yaml:",inline"`.
type Options struct {
	Store       unit.Names `yaml:"store" required:"true" doc:"Store, or list of stores, of which each gets a copy of its own." example:"[local, offsite]"`
	Compression string     `yaml:"compression" enum:"zstd,gzip,none" doc:"How the content is compressed; any zstd or gzip program can read it."`
	Level       int        `yaml:"level" doc:"Level of compression, 1 (fastest) to 19 for zstd and 9 for gzip." example:"3"`
	EncryptTo   unit.Names `yaml:"encrypt_to" doc:"Public keys of age (age1…), each of which decrypts the content; name at least two, one of them kept offline. A store's own encrypt_to adds its keys to the copy there. The identities that belong to them need not be, and should not be, on this machine." example:"[age1…, age1…]"`
	Identity    unit.Path  `yaml:"identity" doc:"A file with an age identity that decrypts the content. With it the proof of each copy also proves that this identity works; without it a key that exists only while the job runs reads the copy back."`
	Verify      Ladder     `yaml:"verify" enum:"L0,L1,L2" doc:"How far each copy is proven before it counts: L0 its parts are present, L1 every byte was read back and hashed, L2 the content was read in full by its own reader and compared with the source's hashes and counts. As a group of keys it also says how often a copy is proven further." example:"{each: L2, weekly: L3}"`
	Keep        Keep       `yaml:"keep" doc:"Which artifacts of this job stay in each store; an artifact stays when any rule wants it. Without a rule all stay."`
}

// Keep is a retention policy as it is written in a configuration.
type Keep struct {
	Last       int           `yaml:"last" doc:"So many of the newest artifacts." example:"3"`
	Within     unit.Duration `yaml:"within" doc:"Every artifact that is not older." example:"14d"`
	Hourly     int           `yaml:"hourly" doc:"The newest artifact of each of so many hours that have one."`
	Daily      int           `yaml:"daily" doc:"The newest artifact of each of so many days that have one." example:"7"`
	Weekly     int           `yaml:"weekly" doc:"The newest artifact of each of so many ISO weeks that have one." example:"4"`
	Monthly    int           `yaml:"monthly" doc:"The newest artifact of each of so many months that have one." example:"12"`
	Yearly     int           `yaml:"yearly" doc:"The newest artifact of each of so many years that have one."`
	MinKeep    int           `yaml:"min_keep" doc:"So many of the newest proven artifacts stay whatever the rules say; at least 1."`
	MaxRemove  int           `yaml:"max_remove" doc:"At most so many artifacts are removed from a store in one run, the oldest first; 0 means no bound."`
	Unverified unit.Duration `yaml:"unverified" doc:"How long an artifact stays that was not proven, or that is suspect; 0s means for ever."`
}

// Defaults returns the options before the configuration is read.
func Defaults() Options {
	return Options{
		Compression: string(frame.Zstd),
		Level:       1,
		Verify:      Ladder{Each: object.L2},
		Keep:        Keep{MinKeep: 1, MaxRemove: 50, Unverified: unit.Duration(30 * 24 * 60 * 60 * 1e9)},
	}
}

// Policy returns k in the form that package retention applies.
func (k Keep) Policy() retention.Policy {
	return retention.Policy{
		Last: k.Last, Within: k.Within.Std(),
		Hourly: k.Hourly, Daily: k.Daily, Weekly: k.Weekly, Monthly: k.Monthly, Yearly: k.Yearly,
		MinKeep: k.MinKeep, MaxRemove: k.MaxRemove, Unverified: k.Unverified.Std(),
	}
}

// Validate judges the options of a kind that can prove up to L2; every
// complaint is a *jobs.FieldError.
func (o Options) Validate() error { return o.ValidateUpTo(object.L2) }

// ValidateUpTo does the same for a kind that can prove up to most.
func (o Options) ValidateUpTo(most object.Level) error {
	var errs []error
	for i, name := range o.Store {
		if slices.Contains(o.Store[:i], name) {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("store[%d]", i), "store %s is listed twice", name))
		}
	}
	if len(o.Store) == 0 {
		errs = append(errs, jobs.Fieldf("store", "no store is given"))
	}
	codec := frame.Codec(o.Compression)
	if highest := codec.MaxLevel(); codec != frame.None && (o.Level < 1 || o.Level > highest) {
		errs = append(errs, jobs.Fieldf("level", "%d is not a level of %s: use 1 to %d", o.Level, codec, highest))
	}
	errs = append(errs, o.validateKeys()...)
	if err := o.Verify.validate(most); err != nil {
		errs = append(errs, err)
	}
	if o.Keep.MinKeep < 1 {
		errs = append(errs, jobs.Fieldf("keep.min_keep", "%d artifacts would be no backup at all: at least 1 must stay", o.Keep.MinKeep))
	}
	if err := o.Keep.Policy().Validate(); err != nil {
		errs = append(errs, jobs.Fieldf("keep", "%v", err))
	}
	return errors.Join(errs...)
}

func (o Options) validateKeys() []error {
	var errs []error
	for i, text := range o.EncryptTo {
		field := fmt.Sprintf("encrypt_to[%d]", i)
		if len(o.EncryptTo) == 1 {
			field = "encrypt_to"
		}
		if _, err := crypt.ParseRecipient(text); err != nil {
			errs = append(errs, jobs.Fieldf(field, "%v", err))
		} else if slices.Contains(o.EncryptTo[:i], text) {
			errs = append(errs, jobs.Fieldf(field, "this key is listed twice"))
		}
	}
	if len(errs) == 0 {
		if _, err := crypt.ParseRecipients(o.EncryptTo); err != nil {
			errs = append(errs, jobs.Fieldf("encrypt_to", "%v", err))
		}
	}
	return errs
}
