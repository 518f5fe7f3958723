package script

import (
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// Perfdata reads the values of a plugin's output.
func Perfdata(told string) map[string]float64 {
	_, perfdata := splitPlugin(told)
	return parsePerfdata(perfdata)
}

// DecodeResult reads a result file as an attempt does.
func DecodeResult(text []byte) (jobs.Result, error) {
	file, err := answer.Decode(text)
	if err != nil {
		return jobs.Result{}, err
	}
	return file.Result(jobs.NewEnv(jobs.Env{}, jobs.Hooks{})), nil
}

// InService tells from /proc/self/cgroup whether a service of systemd holds
// this process.
func InService(cgroup string) bool { return inService(cgroup) }

// InScope makes systemd-run give argv a scope as a user.
func InScope(argv []string, uid, gid uint32) []string {
	return inScope(argv, &child.Account{UID: uid, GID: gid})
}

// Exposition reads the text form of Prometheus.
func Exposition(text string) (values map[string]float64, shared []string, err error) {
	return parseExposition([]byte(text))
}

// MetricLines reads a stream of output that arrives in pieces of some bytes.
func MetricLines(output string, piece int) jobs.Result {
	l, r := &lineReader{}, jobs.Result{}
	for text := []byte(output); len(text) > 0; {
		n, _ := l.Write(text[:min(piece, len(text))])
		text = text[n:]
	}
	l.report(jobs.NewEnv(jobs.Env{}, jobs.Hooks{}), &r)
	return r
}
