// The command as it was built when the test began: a source that is edited meanwhile must not start a build in the midst.
const { main } = await import(new URL('../../packages/cli/dist/main.js', import.meta.url).href);
await main(process.argv);
