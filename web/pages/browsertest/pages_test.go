package browsertest_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/scripts/dev/seed"
	"github.com/ghosteam/upkeep/web/pages/browsertest"
)

// runs is how many runs the huge ledger has: a million when there is time.
func runs() int {
	if os.Getenv("UPKEEP_SOAK") != "" {
		return 1_000_000
	}
	return 20_000
}

// open is a configuration of the web server where everybody on this machine may
// do everything.
const open = `{listen: "127.0.0.1:0", anonymous: admin, status: true, badges: true}`

// TestPages uses the pages as people do, and shows every page to one browser: of
// a system on its first day, of one that has run for a month, and of one with a
// long past.
func TestPages(t *testing.T) {
	t.Parallel()
	browser := browsertest.Open(t)
	for name, see := range map[string]func(*testing.T, *browsertest.Browser){
		"run": seeRun, "twice": seeTwice, "nodes": seeNodes, "pause": seePause, "login": seeLogin, "forgery": seeForgery, "without scripts": seeWithoutScripts,
	} {
		t.Run(name, func(t *testing.T) { see(t, browser) })
	}
	systems := map[string]func() *browsertest.Service{}
	for name, fill := range map[string]func(context.Context, seed.Options) error{"empty": seed.Empty, "usual": seed.Usual, "huge": seed.Huge} {
		systems[name] = sync.OnceValue(func() *browsertest.Service { return browsertest.Start(t, open, runs(), fill) })
	}
	for name, start := range systems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start()
			if name == "usual" {
				snapshot(t, s)
			}
			tab := browser.Tab(t, s.URL)
			if name == "usual" {
				tab.Open("/")
				picture(t, tab, "overview")
			}
			for _, p := range pages(tab, name) {
				tab.Size(1280, 900)
				tab.Scheme("light")
				tab.Open(p)
				check(t, tab, p)
				tab.Shoot(name + "-" + nameOf(p))
				if name == "usual" {
					// The others show the same parts.
					tab.Accessible()
					tab.Scheme("dark")
					tab.Accessible("color-contrast")
				}
				tab.Size(390, 844)
				tab.Frame()
				if wide := browsertest.Eval[string](tab, tooWide); wide != "" {
					t.Errorf("%s is wider than a phone: %s", p, wide)
				}
				tab.Shoot(name + "-" + nameOf(p) + "-phone")
			}
			if name == "usual" {
				seeGap(t, s, tab)
			}
		})
	}
}

// seeGap: where nobody watched for hours, a chart has no line.
func seeGap(t *testing.T, s *browsertest.Service, tab *browsertest.Tab) {
	t.Helper()
	var samples []runner.Sample
	now := time.Now()
	for at := 20 * time.Hour; at > 0; at -= 30 * time.Second {
		if at > 14*time.Hour || at < 6*time.Hour {
			samples = append(samples, runner.Sample{Series: "check.database.planted_percent", At: now.Add(-at), Value: 50})
		}
	}
	if err := dial(s).AddSamples(t.Context(), samples...); err != nil {
		t.Fatal(err)
	}
	tab.Size(1280, 900)
	tab.Scheme("light")
	tab.Open("/checks/database?range=24h&value=planted_percent")
	tab.Await("the chart", "document.querySelector('#value-planted-percent-plot canvas')")
	tab.Frame()
	// The line is as dark as text; the columns of the picture that have some of it
	// in the middle of the chart's height are those where it goes on.
	shares := browsertest.Eval[[]float64](tab, `(() => { const canvas = document.querySelector('#value-planted-percent-plot canvas'), over = document.querySelector('#value-planted-percent-plot .u-over');
		const ratio = canvas.width / canvas.clientWidth, box = over.getBoundingClientRect(), at = canvas.getBoundingClientRect();
		const left = Math.round((box.left - at.left) * ratio), top = Math.round((box.top - at.top) * ratio), width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
		const pixels = canvas.getContext('2d').getImageData(left, top, width, height).data;
		const accent = (x, y) => { const i = 4 * (y * width + x); return pixels[i + 3] > 100 && pixels[i + 2] - pixels[i] > 80 };
		const drawn = x => { for (let y = 0; y < height; y++) if (accent(x, y)) return 1; return 0 };
		return [17, 10, 3].map(hours => { const middle = Math.round(width * (24 - hours) / 24); let n = 0; for (let x = middle - 20; x < middle + 20; x++) n += drawn(x); return n / 40 }) })()`)
	tab.Shoot("usual-check-gap")
	if len(shares) != 3 || shares[0] < 0.9 || shares[1] > 0 || shares[2] < 0.9 {
		t.Errorf("of the columns 17, 10 and 3 hours ago these shares have a line: %v; nobody watched 10 hours ago", shares)
	}
}

// nameOf is the name of a picture of a page.
func nameOf(path string) string {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '?' || r == '=' })
	switch {
	case len(parts) == 0:
		return "overview"
	case len(parts) == 2 && !strings.Contains(path, "?"):
		return strings.TrimSuffix(parts[0], "s")
	}
	return strings.Join(parts, "-")
}

// picture keeps a picture for the documentation when UPKEEP_TEST_UPDATE=1 asks
// for new ones.
func picture(t *testing.T, tab *browsertest.Tab, name string) {
	t.Helper()
	if os.Getenv("UPKEEP_TEST_UPDATE") == "1" {
		tab.Size(1200, 750)
		tab.Frame()
		tab.ShootTo(filepath.Join("..", "..", "..", "docs", "images", name+".png"))
		tab.Size(1280, 900)
	}
}

// TestPictures: the pictures of the documentation are there, and small.
func TestPictures(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"overview", "run", "incident"} {
		info, err := os.Stat(filepath.Join("..", "..", "..", "docs", "images", name+".png"))
		if err != nil || info.Size() > 150_000 || info.Size() < 10_000 {
			t.Errorf("docs/images/%s.png: %v %v; UPKEEP_TEST_UPDATE=1 go test ./web/pages/browsertest makes it", name, info, err)
		}
	}
}

// tooWide names what makes a page wider than its window.
const tooWide = `document.documentElement.scrollWidth <= innerWidth ? '' : document.documentElement.scrollWidth + ' px: ' +
	[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 6).map(e => e.tagName + '.' + e.className + ' ' + e.id).join(', ')`

// pages are the addresses of all pages, with what the system has.
func pages(tab *browsertest.Tab, system string) []string {
	list := []string{"/", "/workflows", "/runs", "/backups", "/checks", "/incidents", "/kpis", "/plan", "/system"}
	for _, of := range []struct{ list, detail string }{{"/workflows", "/workflows/"}, {"/runs", "/runs/"}, {"/backups", "/backups/"}, {"/checks", "/checks/"}, {"/incidents", "/incidents/"}} {
		tab.Open(of.list)
		if path := browsertest.Eval[string](tab, `([...document.querySelectorAll('main a[href^="`+of.detail+`"]')].map(a => a.getAttribute('href')).find(h => h.split('/').length === 3 && !h.includes('?')) || '')`); path != "" {
			list = append(list, path)
		}
	}
	if system == "huge" {
		list = append(list, "/runs?state=failed", "/runs?workflow=w-03")
	}
	return list
}

// nonsense is what no page shows: the leftovers of templates, formats and
// calculations that went wrong.
var nonsense = regexp.MustCompile(`<nil>|%!|\bNaN\b|\bundefined\b|\bnull\b|0001-01-01|\[object|Invalid Date|<no value>|ZgotmplZ|-?9223372036854775808|\+Inf`)

// mostWeight is what a first visit of a page may transfer, in bytes.
const mostWeight = 150_000

// check looks at what every page has.
func check(t *testing.T, tab *browsertest.Tab, path string) {
	t.Helper()
	tab.Await("the page is whole", "document.readyState === 'complete'")
	text := tab.Text()
	if found := nonsense.FindString(text); found != "" {
		t.Errorf("%s shows %q:\n%s", path, found, around(text, found))
	}
	if strings.Contains(tab.Source(), "ZgotmplZ") {
		t.Errorf("%s has an attribute that the template refused", path)
	}
	for what, expression := range map[string]string{
		"one h1":             "document.querySelectorAll('h1').length === 1 && document.querySelector('h1').innerText.trim() !== ''",
		"a title":            "document.title.endsWith('upkeep')",
		"a language":         "document.documentElement.lang === 'en'",
		"a place in a menu":  "document.querySelector('nav [aria-current]')",
		"unique ids":         "(ids => new Set(ids).size === ids.length)([...document.querySelectorAll('[id]')].map(e => e.id))",
		"links that lead on": "[...document.querySelectorAll('a')].every(a => a.getAttribute('href'))",
	} {
		if !browsertest.Eval[bool](tab, "Boolean("+expression+")") {
			t.Errorf("%s lacks %s", path, what)
		}
	}
	weight := browsertest.Eval[float64](tab, "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource').filter(e => e.initiatorType !== 'fetch' && e.initiatorType !== 'xmlhttprequest')].reduce((sum, e) => sum + e.encodedBodySize, 0)")
	if weight > mostWeight || weight < 5000 {
		t.Errorf("%s transfers %.0f bytes, at most %d are allowed: %s", path, weight, mostWeight,
			browsertest.Eval[string](tab, "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map(e => e.name + ' ' + e.encodedBodySize).join(', ')"))
	}
}

func around(text, found string) string {
	at := strings.Index(text, found)
	return text[max(0, at-200):min(len(text), at+200)]
}
