// Package pages renders the web pages of upkeep. It knows HTML, and gets every
// figure from the API through a client, in the name of who asks: what a page
// shows the API answers, and what it does the API allows. It refuses to know
// the ledger, the engine and how people prove who they are.
//
// Every page reads without JavaScript and has an address of its own. What
// changes while one looks is fetched again and morphed in place.
package pages
