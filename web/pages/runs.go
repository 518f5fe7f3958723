package pages

func (p *Pages) registerRuns() {}
