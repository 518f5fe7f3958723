package pages

import (
	"fmt"

	"github.com/ghosteam/upkeep/storage/object"
)

// levelWord is a level of proof in a word or two.
func levelWord(l object.Level) string {
	word := map[object.Level]string{
		object.L0: "present", object.L1: "read back", object.L2: "content read", object.L3: "restored", object.L4: "restored on its own",
	}[l]
	if word == "" {
		return "unproven"
	}
	return string(l) + " " + word
}

// levelMeaning is what a level of proof says.
func levelMeaning(l object.Level) string {
	switch l {
	case object.L0:
		return "every part is there and has its length"
	case object.L1:
		return "every stored byte was read back and hashed"
	case object.L2:
		return "its content was read by its own reader and compared"
	case object.L3:
		return "it was restored into a scratch place on a running server"
	case object.L4:
		return "it was restored on a throwaway server of its own"
	}
	return "nobody has read it back"
}

func fateOf(word string) badge {
	switch word {
	case "keep":
		return badge{Tone: toneIdle, Glyph: "✓", Word: "stays"}
	case "remove":
		return badge{Tone: toneWarn, Glyph: "↓", Word: "goes"}
	case "removed":
		return badge{Tone: toneIdle, Glyph: "–", Word: "went"}
	}
	return badge{Tone: toneIdle, Glyph: "?", Word: "not known"}
}

// changeWords says by how much an artifact is larger or smaller than the one
// before. What shrank by a tenth, or doubled, stands out.
func changeWords(ratio float64) (string, tone) {
	switch change := (ratio - 1) * 100; {
	case change > -0.5 && change < 0.5:
		return "as before", toneIdle
	case ratio < 0.9 || ratio > 2:
		return fmt.Sprintf("%+.0f %%", change), toneWarn
	default:
		return fmt.Sprintf("%+.0f %%", change), toneIdle
	}
}
