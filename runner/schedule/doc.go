// Package schedule is the calendar of upkeep: it says at which instants a
// workflow is due, which of the slots that passed are still owed, when a
// maintenance window is open, and by how much a start is spread. It is pure: it
// never reads the clock, starts no goroutine, touches no file and remembers
// nothing, so the same question always has the same answer. It is a leaf and
// imports nothing of ours.
//
// # Slots
//
// A slot is the instant at which a run was due, in UTC, on a whole second.
// [Parse] turns a [Rule] into a [Schedule], whose Next walks the slots in
// strictly increasing order; Count and Prev answer in bounded time however many
// slots lie in between. Slots exist up to the end of the year 9999.
//
// "every" slots are the multiples of the interval since 1970-01-01T00:00:00Z,
// whatever the zone, so a restart or a reload never moves them. All other
// schedules name times on the wall clock of their zone.
//
// # Clock changes
//
// A wall-clock time can be missing on a day (spring, the gap) or occur twice
// (autumn). What happens is one policy for all forms, chosen by [DST]:
//
//	policy  time in the gap                            time that occurs twice
//	once    runs at the first instant after the gap    runs at the first one
//	skip    does not run                               runs at the first one
//	both    runs at the first instant after the gap    runs at both
//
// All times of one schedule that fall into the same gap make one slot, not
// several at the same instant. "Once" is counted per time on the wall clock:
// cron "*/30 2 * * *" runs in Berlin's autumn night at the first 02:00 and the
// first 02:30, and in spring once, at 03:00. Only offsets matter, not names:
// shifts of 30 minutes (Lord Howe), of a whole day (Samoa 2011) and changes of
// a zone's standard time are treated alike.
//
// A cron rule whose hour field allows all 24 hours ("*/10 * * * *", "@hourly")
// names no hour that could be missing or doubled. Such a running rule simply
// follows the clock under every policy: it goes on through both passes of a
// doubled hour, and a gap, in which no time passes, takes nothing from it.
//
// # Cron
//
// Five fields (minute hour day-of-month month day-of-week) or six with seconds
// first. Lists, ranges, steps, names (jan, january, mon, monday) and the macros
// @yearly @annually @monthly @weekly @daily @midnight @hourly are understood;
// 0 and 7 are both Sunday; ranges of weekdays may wrap (fri-mon). Beyond the
// classical form: "-1" (or "L") in day-of-month is the last day, "-2" the one
// before; "tue#2" is the second Tuesday and "friL" the last Friday of a month;
// "5/15" means 5-59/15; "?" means "*".
//
// Day-of-month and day-of-week follow crontab(5) of Vixie cron, which most
// systems run: when both are restricted, a day that matches either is enough;
// when one of them begins with "*" the day must match both. So "0 4 1 * mon"
// runs on the first and on every Monday, and "0 4 */2 * mon" on Mondays with an
// odd day of the month.
package schedule
