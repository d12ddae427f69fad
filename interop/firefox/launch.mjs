// Starts Debian's Firefox ESR, driven by puppeteer-core over WebDriver BiDi.
import puppeteer from 'puppeteer-core';

/** Starts it with more options than those that every check needs. */
export function launch(options = {}) {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: '/usr/bin/firefox-esr',
    headless: true,
    timeout: 30_000,
    ...options,
    extraPrefsFirefox: {
      'app.normandy.enabled': false,
      'app.update.enabled': false,
      'browser.safebrowsing.update.enabled': false,
      'extensions.getAddons.cache.enabled': false,
      'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false,
      'services.settings.server': 'data:,#remote-settings-dummy/v1',
      'toolkit.telemetry.server': '',
    },
  });
}
