package retrain

// Compare tells whether one set of metrics is better than another one.
func Compare(o *Options, now, before map[string]float64) (bool, error) {
	v, err := o.compare(now, before)
	return v.better, err
}
