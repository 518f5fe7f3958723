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
//	                 it, and records what became of it
//	Channel          hands the message over
//
// A notice is sent at least once: when the process dies between the
// acceptance and its record, the message goes out again under the same ID.
//
// # The life of a notice
//
//	pending ──Take──▶ sending ──accepted, by some at least──▶ sent
//	   ▲                 │ temporary: 5 s doubling to 15 m, full
//	   └──────Retry──────┤ jitter, not before what the channel asks
//	                     └─permanent, or older than 24 h────▶ dead
//
// A notice of an opening that was not sent when the fault ended becomes
// superseded; the one notice of the end then says both. One of a fault that
// still lasts is not given up for its age: it is the only one of that fault.
package alerts
