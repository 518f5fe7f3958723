package script

// Perfdata reads the values of a plugin's output.
func Perfdata(told string) map[string]float64 {
	_, perfdata := splitPlugin(told)
	return parsePerfdata(perfdata)
}
