package alerts

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Message is everything that a channel may tell about one notice. Texts in it
// hold no secrets, but may hold anything else.
type Message struct {
	// ID is that of the notice, the same for every attempt to send it.
	ID string
	// Thread is the ID of the message that opened the conversation, which the
	// same channel accepted earlier; empty when this message begins one.
	// ThreadReceipt is what the channel answered to it.
	Thread, ThreadReceipt string
	// Action is what the message tells.
	Action runner.NoticeAction
	// Combined tells that a resolve also stands for an open that was never
	// sent.
	Combined bool
	// Project and Node say where it comes from.
	Project, Node string
	// At is when the notice was made, in the zone in which times are to be
	// shown.
	At time.Time
	// Title says in one line, without control characters, what happened. Text
	// is the body of reminders, tests and digests; of others it is a note, such
	// as why this channel is told, and mostly empty.
	Title, Text string
	// Items are what a digest stands for; empty otherwise. Text lists them too.
	Items []Item
	// Incident is what the notice belongs to; nil for reminders and tests.
	Incident *runner.Incident
	// Run is the run that showed the fault, or, of a resolve, the run that
	// ended it; nil when there is none or it is no longer on record.
	Run *runner.Run
	// Failures are the attempts that made the run fail, in the order in which
	// they ended; empty for a resolve. Was are, of a message with a Thread, those
	// of the run that showed the fault, for channels that show the beginning anew.
	Failures, Was []Failure
	// Evidence is what was found when the fault began; Changes are the latest
	// events of the hour before, the latest first. Both are empty for what is over.
	Evidence []runner.Evidence
	Changes  []runner.Happening
	// Commands are what to type next.
	Commands []Command
}

// Item is one thing that a digest stands for.
type Item struct {
	// Notice is the ID of the notice, Action what it tells.
	Notice string
	Action runner.NoticeAction
	// Title says it in one line, without control characters.
	Title string
	// Incident is what it belongs to; nil for reminders.
	Incident *runner.Incident
}

// Failure is an attempt that failed.
type Failure struct {
	// Attempt says which, why (Error) and what to do about it (Hint).
	runner.Attempt
	// Output holds the last lines that it wrote, without line ends and control
	// characters. Cut tells that there was more before them.
	Output []string
	Cut    bool
}

// Command is something to type.
type Command struct {
	// Does says what for, in a few words; Line is the command.
	Does, Line string
}

// Down returns how long the incident lasted, or 0 when it has not ended.
func (m Message) Down() time.Duration {
	if m.Incident == nil || m.Incident.ResolvedAt.IsZero() {
		return 0
	}
	return max(0, m.Incident.ResolvedAt.Sub(m.Incident.OpenedAt))
}
