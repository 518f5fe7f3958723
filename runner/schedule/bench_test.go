package schedule_test

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner/schedule"
)

func BenchmarkSchedule_Next(b *testing.B) {
	berlin := location(b, "Europe/Berlin")
	rules := []struct {
		name string
		rule schedule.Rule
	}{
		{"Daily", schedule.Rule{Daily: "02:30", Zone: berlin}},
		{"DailyUTC", schedule.Rule{Daily: "02:30"}},
		{"Monthly", schedule.Rule{Monthly: "-1 04:30", Zone: berlin}},
		{"Cron", schedule.Rule{Cron: "10 3 * * 1-5", Zone: berlin}},
		{"CronMinutes", schedule.Rule{Cron: "*/5 * * * *", Zone: berlin}},
		{"LeapDay", schedule.Rule{Cron: "0 4 29 2 *", Zone: berlin}},
		{"LeapSunday", schedule.Rule{Cron: "0 4 * 2 sun#5", Zone: berlin}},
		{"Every", schedule.Rule{Every: 5 * time.Minute}},
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, rule := range rules {
		b.Run(rule.name, func(b *testing.B) {
			s := parse(b, rule.rule)
			b.ReportAllocs()
			slot := start
			for b.Loop() {
				next, ok := s.Next(slot)
				if !ok || next.Year() > 2060 {
					next = start
				}
				slot = next
			}
		})
	}
}

func BenchmarkSchedule_CountOneYear(b *testing.B) {
	s := parse(b, schedule.Rule{Cron: "* * * * * *", Zone: location(b, "Europe/Berlin")})
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		s.Count(from, from.AddDate(1, 0, 0))
	}
}

func BenchmarkDue_DownForAYear(b *testing.B) {
	s := parse(b, schedule.Rule{Cron: "* * * * * *", Zone: location(b, "Europe/Berlin")})
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	policy := schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpAll}}
	b.ReportAllocs()
	for b.Loop() {
		schedule.Due(s, from, from.AddDate(1, 0, 0), policy)
	}
}

func BenchmarkParse(b *testing.B) {
	rule := schedule.Rule{Cron: "5,35 9-17 * jan-mar fri#2,sunL", Zone: location(b, "Europe/Berlin")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schedule.Parse(rule); err != nil {
			b.Fatal(err)
		}
	}
}
