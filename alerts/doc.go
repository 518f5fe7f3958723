// Package alerts turns the ends of runs into faults, decides which channels are
// told, and delivers the notices that the ledger owes them. It knows the words
// of runner and the contract of a channel; it refuses to know any particular
// channel, the ledger's tables, and who executes or schedules.
//
// # From a run's end to a person
//
//	Policy.Judge     inside the ledger's transaction: does this end raise a
//	                 fault or clear one, and who is to be told
//	the ledger       opens or resolves the incident and owes one notice per
//	                 channel, in that same transaction
//	Dispatcher       takes notices per channel, makes a Message of each, sends
//	                 it, and records what became of it; its duty owes what
//	                 follows from the passing of time
//	Channel          hands the message over
//
// A notice is sent at least once: when the process dies between the
// acceptance and its record, the message goes out again under the same ID.
// What tells of one incident reaches a channel in the order in which it
// happened.
//
// # The life of a notice
//
//	pending ──Take──▶ sending ──accepted, by some at least──▶ sent
//	   ▲                 │ temporary: 5 s doubling to 15 m, full
//	   └──────Retry──────┤ jitter, not before what the channel asks
//	                     └─permanent, or older than 24 h────▶ dead
//	                       and tried a dozen times
//
// A notice of an opening that was not sent when the fault ended becomes
// superseded; the one notice of the end then says both, and a channel that
// records incidents at its own side (Recording) hears nothing unless the
// opening was tried: nobody is called for what is over. A notice of a fault
// that still lasts is not given up for its age: it is the only one of that
// fault.
//
// # Never lost
//
// What is dead, and a critical fault that a channel could not be told for ten
// minutes, is owed to the channel's fallback, with why. A channel is told of an
// incident once, and no fallback leads back to where it began, so this ends.
//
// # Never too many
//
// An opening that is alone goes out at once. Those that follow it within
// group_wait, or come together, wait until that has passed and go out as one
// digest, to channels that gather. A rate bounds what a channel accepts: the
// last message that it allows stands for everything that is due. A notice that
// a digest stood for is sent, with the receipt of the digest.
//
// # What time does
//
// One duty looks at the open incidents whenever something changed, and at the
// next instant at which something follows from what is on record: a repetition
// (a time after the channel was last told), an escalation (a time after the
// opening), both unless somebody has acknowledged the incident; the ends of
// acknowledgements and suppressions (runner.Settler); the digest of the week.
// It keeps nothing in memory that matters: what was owed is on record, and the
// ledger owes nothing twice (runner.Duties).
package alerts
