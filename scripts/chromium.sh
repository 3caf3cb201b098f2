#!/bin/sh
# Make sure a Chromium for the browser tests is here: bring Debian's where this is allowed, else say what to do.
command -v chromium >/dev/null 2>&1 && exit 0
command -v chromium-browser >/dev/null 2>&1 && exit 0
command -v google-chrome >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "Installing Chromium for the browser tests ..."
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null 2>&1 && exit 0
fi
echo "No Chromium: the browser tests will be skipped. Install one (Debian: apt-get install chromium) to run them."
exit 0
