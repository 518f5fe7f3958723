package ledgertest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// longLease is a lease that no test outlives; shortLease is one that a test
// waits out, longer than a busy machine takes to get there.
const (
	longLease  = time.Hour
	shortLease = 4 * time.Second
)

// Exercise runs the suite. fresh returns the address of a ledger that nobody
// else uses; the parts of the suite run in parallel, each on one of its own.
func Exercise(t *testing.T, fresh func(testing.TB) secret.String) {
	t.Helper()
	parts := []struct {
		name string
		run  func(*testing.T, secret.String)
	}{
		{"Submit", testSubmit},
		{"SubmitManual", testSubmitManual},
		{"SubmitRefuses", testSubmitRefuses},
		{"Life", testLife},
		{"Claim", testClaim},
		{"ClaimAfterLostAnswer", testClaimAfterLostAnswer},
		{"Repeat", testRepeat},
		{"AttemptNumbers", testAttemptNumbers},
		{"LostOutput", testLostOutput},
		{"Release", testRelease},
		{"Cancel", testCancel},
		{"Watch", testWatch},
		{"Reopen", testReopen},
		{"Fencing", testFencing},
		{"StaleOwner", testStaleOwner},
		{"Locks", testLocks},
		{"LocksAllOrNone", testLocksAllOrNone},
		{"LocksStale", testLocksStale},
		{"LocksCounted", testLocksCounted},
		{"LocksLine", testLocksLine},
		{"LocksPassed", testLocksPassed},
		{"LocksDead", testLocksDead},
		{"LocksRace", testLocksRace},
		{"LocksModel", testLocksModel},
		{"Lease", testLease},
		{"Nodes", testNodes},
		{"Members", testMembers},
		{"Mirror", testMirror},
		{"MirrorLost", testMirrorLost},
		{"Announced", testAnnounced},
		{"Pending", testPending},
		{"Targets", testTargets},
		{"Deliveries", testDeliveries},
		{"Expire", testExpire},
		{"ExpireWaits", testExpireWaits},
		{"ExpireAlerts", testExpireAlerts},
		{"Strand", testStrand},
		{"SlotFilter", testSlotFilter},
		{"Filter", testFilter},
		{"Paging", testPaging},
		{"Lookup", testLookup},
		{"Past", testPast},
		{"PastOfNode", testPastOfNode},
		{"Latest", testLatest},
		{"Output", testOutput},
		{"Texts", testTexts},
		{"Races", testRaces},
		{"Deadlocks", testDeadlocks},
		{"Judged", testJudged},
		{"JudgedMany", testJudgedMany},
		{"JudgedOddly", testJudgedOddly},
		{"Incidents", testIncidents},
		{"IncidentTexts", testIncidentTexts},
		{"IncidentLookup", testIncidentLookup},
		{"IncidentLists", testIncidentLists},
		{"Outbox", testOutbox},
		{"OutboxOrder", testOutboxOrder},
		{"OutboxStates", testOutboxStates},
		{"OutboxDeath", testOutboxDeath},
		{"OutboxBack", testOutboxBack},
		{"OutboxRace", testOutboxRace},
		{"Supersede", testSupersede},
		{"RetryRace", testRetryRace},
		{"RaiseRace", testRaiseRace},
		{"Owe", testOwe},
		{"NoticeLists", testNoticeLists},
		{"OwedChannels", testOwedChannels},
		{"AlertModel", testAlertModel},
		{"Severity", testSeverity},
		{"WorseOrder", testWorseOrder},
		{"Desk", testDesk},
		{"Duties", testDuties},
		{"Silences", testSilences},
		{"Parents", testParents},
		{"Windows", testWindows},
		{"Withheld", testWithheld},
		{"Began", testBegan},
		{"Disturbed", testDisturbed},
		{"Flapping", testFlapping},
		{"DeskModel", testDeskModel},
		{"Happenings", testHappenings},
		{"Tokens", testTokens},
		{"TokenRace", testTokenRace},
		{"Audit", testAudit},
		{"AccessPruned", testAccessPruned},
		{"EventsOfAttempts", testEventsOfAttempts},
		{"Samples", testSamples},
		{"SamplesRefused", testSamplesRefused},
		{"SamplesGrowOld", testSamplesGrowOld},
		{"HappeningLists", testHappeningLists},
		{"Canceled", testCanceled},
		{"Decide", testDecide},
		{"DecideRefuses", testDecideRefuses},
		{"DecideRaces", testDecideRaces},
		{"DecideModel", testDecideModel},
		{"OverlapSkip", testOverlapSkip},
		{"OverlapQueue", testOverlapQueue},
		{"Pause", testPause},
		{"PauseEnds", testPauseEnds},
		{"Approval", testApproval},
		{"Planned", testPlanned},
		{"PlannedEnds", testPlannedEnds},
		{"Slots", testSlots},
		{"Usual", testUsual},
		{"Shares", testShares},
		{"Budget", testBudget},
		{"PruneRuns", testPruneRuns},
		{"PruneAll", testPruneAll},
		{"PruneBeside", testPruneBeside},
		{"ReaderOnly", testReaderOnly},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, fresh(t))
		})
	}
}

// site is a ledger with shortcuts that fail the test.
type site struct {
	*ledger.Ledger
	t   *testing.T
	ctx context.Context
}

func join(t *testing.T, dsn secret.String, node string, ttl time.Duration, labels ...string) *site {
	t.Helper()
	return &site{Ledger: Join(t, dsn, node, ttl, labels...), t: t, ctx: context.Background()}
}

func (s *site) submit(requests ...runner.Request) []runner.RunID {
	s.t.Helper()
	answers, err := s.Submit(s.ctx, requests...)
	if err != nil {
		s.t.Fatalf("Submit: %v", err)
	}
	ids := make([]runner.RunID, len(answers))
	for i, a := range answers {
		if a.Duplicate {
			s.t.Fatalf("Submit: request %d is a duplicate of %s", i, a.Run)
		}
		ids[i] = a.Run
	}
	return ids
}

// queued records one run that waits.
func (s *site) queued() runner.RunID {
	s.t.Helper()
	slot := Midnight()
	for {
		answers, err := s.Submit(s.ctx, Request(unique(s.t), slot))
		if err != nil {
			s.t.Fatalf("Submit: %v", err)
		}
		if !answers[0].Duplicate {
			return answers[0].Run
		}
		slot = slot.Add(time.Hour)
	}
}

func (s *site) claim(id runner.RunID) runner.Claim {
	s.t.Helper()
	c, _, err := s.Claim(s.ctx, id)
	if err != nil {
		s.t.Fatalf("Claim: %v", err)
	}
	return c
}

// running records one run and claims it.
func (s *site) running() runner.Claim {
	s.t.Helper()
	return s.claim(s.queued())
}

func (s *site) advance(c runner.Claim, step runner.Step) []runner.Blocked {
	s.t.Helper()
	blocked, err := s.Advance(s.ctx, c, step)
	if err != nil {
		s.t.Fatalf("Advance: %v", err)
	}
	return blocked
}

func (s *site) begin(c runner.Claim, a runner.Attempt, locks ...string) {
	s.t.Helper()
	if blocked := s.advance(c, runner.Step{Begun: []runner.Start{{Attempt: a, Locks: locks}}}); len(blocked) > 0 {
		s.t.Fatalf("begin of %s is blocked: %+v", a.Job, blocked)
	}
}

func (s *site) end(c runner.Claim, a runner.Attempt, state runner.State) {
	s.t.Helper()
	s.advance(c, runner.Step{Ended: []runner.End{{Attempt: Ended(a, state)}}})
}

func (s *site) finish(c runner.Claim, state runner.State) {
	s.t.Helper()
	s.advance(c, runner.Step{Finish: &runner.Finish{State: state}})
}

func (s *site) run(id runner.RunID) runner.Run {
	s.t.Helper()
	run, err := s.Run(s.ctx, string(id))
	if err != nil {
		s.t.Fatalf("Run: %v", err)
	}
	return run
}

func (s *site) attempts(ids ...runner.RunID) []runner.Attempt {
	s.t.Helper()
	list, err := s.Attempts(s.ctx, ids...)
	if err != nil {
		s.t.Fatalf("Attempts: %v", err)
	}
	return list
}

func (s *site) pending() []runner.RunID {
	s.t.Helper()
	ids, err := s.Pending(s.ctx, "", 1000)
	if err != nil {
		s.t.Fatalf("Pending: %v", err)
	}
	return ids
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}
