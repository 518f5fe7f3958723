package browsertest_test

import (
	"os"
	"testing"

	"github.com/ghosteam/upkeep/web/pages/browsertest"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }
