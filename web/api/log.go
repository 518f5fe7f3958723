package api

import "time"

// LogLevel is the threshold of a logger.
type LogLevel struct {
	Logger     string     `json:"logger" doc:"its name; empty for all that have no level of their own"`
	Level      string     `json:"level" enum:"debug,info,warn,error" doc:"the level from which on its records are logged"`
	Configured string     `json:"configured,omitempty" doc:"what the configuration says, if it says anything"`
	Changed    bool       `json:"changed" doc:"whether somebody changed it while the process ran"`
	Until      *time.Time `json:"until,omitempty" doc:"when that ends by itself"`
}

// LogLevels is the answer about levels.
type LogLevels struct {
	Levels []LogLevel `json:"levels"`
}

// LogLevelRequest changes a level.
type LogLevelRequest struct {
	Logger     string  `json:"logger,omitempty" maxLength:"100" pattern:"^([a-z0-9_]+(\\.[a-z0-9_]+)*)?$" doc:"the name of the logger; without one, all that have no level of their own"`
	Level      string  `json:"level" enum:"debug,info,warn,error" doc:"the level from which on its records are logged"`
	ForSeconds float64 `json:"for_seconds,omitempty" minimum:"0" maximum:"31536000" doc:"for how long; 0 until the process ends"`
}

// LogLevelReset is the answer to a reset.
type LogLevelReset struct {
	Was bool `json:"was" doc:"whether the level had been changed"`
}
