package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Tab is a tab of the browser with cookies of its own. It is used by one
// goroutine.
type Tab struct {
	t    testing.TB
	ctx  context.Context
	base string

	mu sync.Mutex
	// complaints are what the browser said against the pages.
	complaints []string
	allowed    []string
}

// Tab opens a tab for the pages at base, an address without a path. The test
// fails at its end when a page wrote an error to the console, threw an
// exception, or broke its content security policy.
func (b *Browser) Tab(t testing.TB, base string) *Tab {
	t.Helper()
	tab := &Tab{t: t, base: base}
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(tab.hear))
	tab.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() && ctx.Err() == nil {
			tab.Shoot("failed-" + t.Name())
		}
		end()
		for _, text := range tab.Complaints() {
			t.Errorf("the browser complains: %s", text)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	tab.Size(1280, 900)
	return tab
}

// Allow makes complaints that hold this text no failure, such as "401" for a
// test of a wrong password: a browser logs each answer that is an error.
func (tab *Tab) Allow(text string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.allowed = append(tab.allowed, text)
}

// Complaints are what the browser said so far against the pages.
func (tab *Tab) Complaints() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	var list []string
next:
	for _, text := range tab.complaints {
		for _, allowed := range tab.allowed {
			if strings.Contains(text, allowed) {
				continue next
			}
		}
		list = append(list, text)
	}
	return list
}

// AwaitComplaint waits for a complaint that holds this text.
func (tab *Tab) AwaitComplaint(text string) {
	tab.t.Helper()
	for deadline := time.Now().Add(patience); ; tab.Frame() {
		tab.mu.Lock()
		heard := strings.Contains(strings.Join(tab.complaints, "\n"), text)
		tab.mu.Unlock()
		if heard {
			return
		}
		if time.Now().After(deadline) {
			tab.t.Fatalf("no complaint of %q within %s\n%s", text, patience, tab.story())
		}
	}
}

// hear notes what is wrong about a page.
func (tab *Tab) hear(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = "exception: " + describe(e.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			text = "console." + string(e.Type) + ":"
			for _, arg := range e.Args {
				text += " " + string(arg.Value) + arg.Description
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
			text = fmt.Sprintf("%s %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	}
	if text != "" {
		tab.mu.Lock()
		defer tab.mu.Unlock()
		tab.complaints = append(tab.complaints, text)
	}
}

// run carries out an action.
func run[T any](tab *Tab, what string, action chromedp.Action[T]) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeoutCause(tab.ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		tab.t.Fatalf("%s: %v %v\n%s", what, err, context.Cause(ctx), tab.story())
	}
	return value
}

// call sends a command to the browser.
func call[R any](tab *Tab, what string, send func(context.Context) (R, error)) R {
	tab.t.Helper()
	return run(tab, what, func(ctx context.Context, _ *chromedp.Target) (R, error) { return send(ctx) })
}

// Size makes the window so large, in CSS pixels.
func (tab *Tab) Size(width, height int64) {
	tab.t.Helper()
	call(tab, "size the window", func(ctx context.Context) (any, error) {
		return chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600,
		})
	})
}

// Scheme makes the browser prefer "light" or "dark" colors.
func (tab *Tab) Scheme(scheme string) {
	tab.t.Helper()
	call(tab, "choose the colors", func(ctx context.Context) (any, error) {
		return chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
	})
}

// WithoutScripts makes the browser one without JavaScript.
func (tab *Tab) WithoutScripts() {
	tab.t.Helper()
	call(tab, "switch JavaScript off", func(ctx context.Context) (any, error) {
		return chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	})
}

// Go opens a page and returns the status of the answer when it is loaded.
func (tab *Tab) Go(path string) int {
	tab.t.Helper()
	response := run(tab, "open "+path, chromedp.NavigateResponse(tab.base+path))
	if response == nil {
		tab.t.Fatalf("open %s: no answer", path)
	}
	return int(response.Status)
}

// Open opens a page that has to be there.
func (tab *Tab) Open(path string) {
	tab.t.Helper()
	if status := tab.Go(path); status != 200 {
		tab.t.Fatalf("%s answers %d\n%s", path, status, tab.story())
	}
}

// Path is the path and the query of the page that is open.
func (tab *Tab) Path() string {
	tab.t.Helper()
	return Eval[string](tab, "location.pathname + location.search")
}

// Eval evaluates JavaScript on the page, and waits for what it promises. It
// does so too where the page itself may not run any.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	return run(tab, expression, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Await waits until an expression is true of the page, across reloads.
func (tab *Tab) Await(what, expression string) {
	tab.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for {
		ctx, cancel := context.WithTimeout(tab.ctx, patience)
		// While a page gives way to the next, nothing can be asked.
		is, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		cancel()
		if err == nil && is {
			return
		}
		select {
		case <-every.C:
		case <-deadline.C:
			tab.t.Fatalf("%s: not within %s (%v)\n%s", what, patience, err, tab.story())
		}
	}
}

// AwaitText waits until the page shows a text, in whatever case of letters.
func (tab *Tab) AwaitText(text string) {
	tab.t.Helper()
	tab.Await("see "+strconv.Quote(text), "document.body.innerText.toLowerCase().includes("+strconv.Quote(strings.ToLower(text))+")")
}

// Text is what the page shows.
func (tab *Tab) Text() string {
	tab.t.Helper()
	return Eval[string](tab, "document.body.innerText")
}

// Source is the page as it is now.
func (tab *Tab) Source() string {
	tab.t.Helper()
	return Eval[string](tab, "document.documentElement.outerHTML")
}

// Click clicks on a link, a button or the summary of details by its text, or
// by a CSS selector that begins with # . or [.
func (tab *Tab) Click(what string) {
	tab.t.Helper()
	tab.press(what, tab.find(what), 1)
}

// find scrolls to what can be clicked, and returns the middle of it.
func (tab *Tab) find(what string) []float64 {
	tab.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll('a,button,summary,label')].find(e => e.checkVisibility() && (e.innerText.trim() === %[1]s || e.getAttribute('aria-label') === %[1]s || e.title === %[1]s))`, strconv.Quote(what))
	if strings.ContainsAny(what[:1], "#.[") {
		find = fmt.Sprintf("document.querySelector(%s)", strconv.Quote(what))
	}
	tab.Await("find "+what, find)
	at := Eval[[]float64](tab, `(() => { const e = `+find+`; e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'}); const r = e.getBoundingClientRect();
		const x = r.x + r.width / 2, y = r.y + r.height / 2, top = document.elementFromPoint(x, y);
		return [x, y, top && (e.contains(top) || top.contains(e)) ? 1 : 0] })()`)
	if at[2] == 0 {
		tab.t.Fatalf("click on %s: something covers it\n%s", what, tab.story())
	}
	return at
}

// press presses a mouse button so often at a point.
func (tab *Tab) press(what string, at []float64, times int64) {
	tab.t.Helper()
	for n := range times {
		for _, kind := range []input.DispatchMouseEventType{input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased} {
			call(tab, "click on "+what, func(ctx context.Context) (any, error) {
				return chromedp.Call(ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: at[0], Y: at[1], Button: input.MouseButtonLeft, ClickCount: n + 1})
			})
		}
	}
}

// Follow clicks and waits for the page behind it.
func (tab *Tab) Follow(what string) {
	tab.t.Helper()
	Eval[bool](tab, "window.upkeepLeft = true")
	tab.Click(what)
	tab.Await("the page behind "+what, "window.upkeepLeft === undefined && document.readyState === 'complete'")
}

// FollowTwice clicks twice, as fast as one can, and waits for the page behind it.
func (tab *Tab) FollowTwice(what string) {
	tab.t.Helper()
	Eval[bool](tab, "window.upkeepLeft = true")
	tab.press(what, tab.find(what), 2)
	tab.Await("the page behind "+what, "window.upkeepLeft === undefined && document.readyState === 'complete'")
}

// Fill writes into a field by its CSS selector.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.Await("find "+selector, fmt.Sprintf("document.querySelector(%s)", strconv.Quote(selector)))
	run(tab, "fill "+selector, chromedp.SetValue(chromedp.CSS(selector), text))
}

// Shoot keeps a picture of the window in the folder .screenshots of the
// module, which git ignores.
func (tab *Tab) Shoot(name string) {
	tab.t.Helper()
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", r) {
			return r
		}
		return '-'
	}, name)
	tab.ShootTo(filepath.Join(moduleRoot(tab.t), ".screenshots", name+".png"))
}

// ShootTo keeps a picture of the window in a file.
func (tab *Tab) ShootTo(path string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, picture, 0o644))
	}
	if err != nil {
		tab.t.Errorf("take a picture: %v", err)
	}
}

// story is where the tab is and what it shows, for people.
func (tab *Tab) story() string {
	ctx, cancel := context.WithTimeout(tab.ctx, 10*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText.slice(0, 3000)"))
	if err != nil {
		return fmt.Sprintf("(the page cannot be read: %v)", err)
	}
	return text + "\n" + strings.Join(tab.Complaints(), "\n")
}

// Frame waits until the page has drawn what it holds.
func (tab *Tab) Frame() {
	tab.t.Helper()
	Eval[bool](tab, "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
}

// Key presses a key.
func (tab *Tab) Key(key string) {
	tab.t.Helper()
	run(tab, "press "+key, chromedp.KeyEvent(key))
}

// Reload loads the page anew.
func (tab *Tab) Reload() {
	tab.t.Helper()
	run(tab, "load the page anew", chromedp.WaitEvent(page.LoadEventFired, nil, chromedp.Reload()))
}

// moduleRoot is the folder of go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("find the root of the module: %v", err)
	return ""
}

// describe says what was thrown.
func describe(e *runtime.ExceptionDetails) string {
	text := e.Text
	if e.Exception != nil {
		text += " " + e.Exception.Description
	}
	return fmt.Sprintf("%s (%s:%d)", text, e.URL, e.LineNumber)
}
