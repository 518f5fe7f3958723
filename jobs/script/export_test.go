package script

import "github.com/ghosteam/upkeep/jobs"

// Perfdata reads the values of a plugin's output.
func Perfdata(told string) map[string]float64 {
	_, perfdata := splitPlugin(told)
	return parsePerfdata(perfdata)
}

// DecodeResult reads a result file as an attempt does.
func DecodeResult(text []byte) (jobs.Result, error) {
	file, err := decodeResult(text)
	if err != nil {
		return jobs.Result{}, err
	}
	return file.result(jobs.NewEnv(jobs.Env{}, jobs.Hooks{})), nil
}
