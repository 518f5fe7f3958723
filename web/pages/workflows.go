package pages

func (p *Pages) registerWorkflows() {}
