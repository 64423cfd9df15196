import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseXml, xmlDocument } from "./xml.ts";

test("a document is read as it is meant, however its characters are written, and with whatever namespace", () => {
  const text = `<?xml version="1.0"?><s:A xmlns:s="x"><B> a&#34;&#x22;&quot;&amp;amp;&lt; </B><C/><D><E>1</E></D><D><E>2</E></D></s:A>`;
  const root = parseXml(Buffer.from(text), "A");
  assert.equal(root.text("B"), ` a"""&amp;< `);
  assert.deepEqual([root.text("C"), root.text("nothing")], ["", undefined]);
  assert.deepEqual(
    root.children("D").map((element) => element.text("E")),
    ["1", "2"],
  );
});

test("what is written is read as it was", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (value) => {
      fc.pre(!/[\0-\x1f\ufffe\uffff]/.test(value)); // oxlint-disable-line no-control-regex -- those have no place in XML
      assert.equal(parseXml(Buffer.from(xmlDocument("A", [["B", value]])), "A").text("B"), value);
    }),
  );
});

test("what is none, or goes beyond what requests need, is refused", () => {
  const wrong = [
    "",
    "text",
    "<A>",
    "<A></B>",
    "<B/>",
    "<A/><A/>",
    "<A>&unknown;</A>",
    "<A>&#1114112;</A>",
    '<!DOCTYPE A [<!ENTITY b "c">]><A>&b;</A>',
    '<!DOCTYPE A SYSTEM "file:///etc/passwd"><A/>',
    `${"<A>".repeat(17)}${"</A>".repeat(17)}`,
    "<A>".repeat(100_000),
  ];
  for (const text of wrong) assert.throws(() => parseXml(Buffer.from(text), "A"), { code: "MalformedXML" }, text.slice(0, 40));
  assert.throws(() => parseXml(Uint8Array.of(0x3c, 0x41, 0x3e, 0xff, 0x3c, 0x2f, 0x41, 0x3e), "A"), { code: "MalformedXML" });
});
