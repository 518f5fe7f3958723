package pages

func (p *Pages) registerBackups() {}
