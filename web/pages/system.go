package pages

func (p *Pages) registerSystem() {}
