// Tables as people have them: what is left out, what is read as something else, and that it is said.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/table.h"
#include "espalier/datasets/table/ids.h"
#include "support/table.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::column;
using testing::contains;
using testing::features;
using testing::notes_of;
using testing::table_of;

DataParts load(const std::string& text, const TableOptions& options = {}) {
  return testing::load_table_text(text, options);
}
// What all columns and the target become: the same for tables that say the same.
std::string rules_of(const std::string& text, TableOptions options = {}) {
  Preprocessing rules = *load(text, options).preprocessing;
  rules.dialect = {};
  return to_json(rules);
}
Index rows_of(const DataParts& parts) {
  return parts.train->samples() + parts.validation->samples() + parts.test->samples();
}
// Numbers that follow no order: 0 to 96, each once in 97 rows.
int scattered(int r) {
  return r * 31 % 97;
}
// A row of two columns of numbers and a label that depends on them.
std::string plain_row(int r) {
  return fmt::format("{}.5,{}.25,{}", scattered(r), r % 13, scattered(r) > 48 ? 1 : 0);
}

// --- counters and names of rows ----------------------------------------------------------------------------------

TEST(RowNames, AreKnownByTheirNames) {
  for (const char* name : {"", "Unnamed: 0", "id", "ID", "Id", "customer_id", "customerId", "PassengerID", "user id",
                           "index", "Row", "uuid", "row_number", "key", "nr", "No", "id_customer", "#"})
    EXPECT_TRUE(table::names_an_id(name)) << name;
  for (const char* name :
       {"paid", "Covid", "COVID", "grid", "acid", "idea", "identity", "age", "rows", "x", "width", "Id2"})
    EXPECT_FALSE(table::names_an_id(name)) << name;
}

TEST(RowNames, CountersAreLeftOutWhereverTheyBeginAndHoweverTheyAreCalled) {
  struct Case {
    int first, step;
  };
  for (const Case& c : {Case{0, 1}, Case{1, 1}, Case{1700000000, 1}, Case{99, -1}}) {
    const DataParts parts = load(
        table_of("entry,x,z,y", 100, [&](int r) { return fmt::format("{},{}", c.first + c.step * r, plain_row(r)); }));
    EXPECT_EQ(column(parts, "entry").why, "it counts the rows") << c.first;
    EXPECT_PRED2(contains, notes_of(parts), "ignored (it counts the rows): entry [use entry]");
    EXPECT_EQ(parts.preprocessing->features(), 2);
  }
}

TEST(RowNames, WholeNumbersThatDoNotCountStayUnlessTheColumnIsCalledAnId) {
  const auto why = [](const std::string& name, const std::string& value_of, int repeat) {
    return column(load(table_of(
                      name + ",x,z,y", 97,
                      [&](int r) { return fmt::format("{}{},{}", value_of, scattered(r) / repeat, plain_row(r)); })),
                  name)
        .why;
  };
  const std::string names_rows = "by its name and its values, which all differ, it names the rows";
  EXPECT_EQ(why("size", "", 1), "");
  EXPECT_EQ(why("customer_id", "", 1), names_rows);
  EXPECT_EQ(why("Unnamed: 0", "", 1), names_rows) << "rows in another order";
  EXPECT_EQ(why("uuid", "a7-", 1), names_rows) << "words";
  EXPECT_EQ(why("customer_id", "", 2), "") << "customers who come again";
  EXPECT_EQ(why("uuid", "a7-", 2), "");
  EXPECT_EQ(why("id", "0.", 1), "") << "no whole numbers";
}

TEST(RowNames, AnIndexThatCountsAgainInEachOfTheFilesThatWereJoinedIsLeftOut) {
  const auto table = [](const std::string& name) {
    return load(table_of(name + ",x,z,y", 150, [](int r) { return fmt::format("{},{}", r % 50, plain_row(r)); }));
  };
  EXPECT_EQ(column(table("Unnamed: 0"), "Unnamed: 0").why, "it counts the rows");
  EXPECT_EQ(column(table("hour"), "hour").why, "") << "which says something";
}

TEST(RowNames, AreKeptIfAskedForOrIfThereIsNothingElse) {
  const std::string text = table_of("n,x,z,y", 100, [](int r) { return fmt::format("{},{}", r, plain_row(r)); });
  const DataParts kept = load(text, {.use = {"n"}});
  EXPECT_EQ(column(kept, "n").kind, ColumnKind::numeric);
  EXPECT_EQ(kept.preprocessing->features(), 3);
  const DataParts alone = load(table_of("id,same,y", 100, [](int r) { return fmt::format("{},7,{}", r, r % 2); }));
  EXPECT_EQ(column(alone, "id").kind, ColumnKind::numeric);
  const DataParts used = load(
      table_of("uuid,x,z,y", 400, [](int r) { return fmt::format("row {},{}", r, plain_row(r)); }), {.use = {"uuid"}});
  EXPECT_EQ(column(used, "uuid").kind, ColumnKind::categorical);
}

// --- words among numbers -----------------------------------------------------------------------------------------

// 100 rows, in line 20 `field` instead of a number.
std::string with_field(const std::string& field, const std::string& header = "x,z,y") {
  return table_of(header, 100, [&](int r) {
    return r == 18 ? field + "," + plain_row(r).substr(plain_row(r).find(',') + 1) : plain_row(r);
  });
}

TEST(Strays, EveryUsualMarkIsMissingWithoutFurtherWords) {
  for (const char* mark :
       {"",     "None", "none", "NaN",  "-nan",     "-NaN", "<NA>",    "NA",     "N/A",      "n/a",
        "NULL", "null", "?",    "#N/A", "#N/A N/A", "#NA",  "-1.#IND", "1.#IND", "-1.#QNAN", "1.#QNAN"}) {
    const DataParts parts = load(with_field(mark));
    EXPECT_EQ(column(parts, "x").kind, ColumnKind::numeric) << mark;
    EXPECT_PRED2(contains, notes_of(parts), "missing values: x 1") << mark;
    EXPECT_FALSE(contains(notes_of(parts), "are not numbers")) << mark;
  }
}

TEST(Strays, OneOtherWordInAColumnOfNumbersIsMissingAndNamedWithLineAndCount) {
  const DataParts parts = load(with_field("oops\x1b[31m"));
  EXPECT_EQ(column(parts, "x").kind, ColumnKind::numeric);
  EXPECT_PRED2(contains, notes_of(parts),
               "column x was read as numbers: 1 of 100 fields are not numbers and count as missing, the first is " +
                   quoted("oops\x1b[31m") + " in line 20 [categorical x]");
  EXPECT_EQ(rows_of(parts), 100);
  EXPECT_EQ(column(load(with_field("oops"), {.categorical = {"x"}}), "x").kind, ColumnKind::categorical);
}

TEST(Strays, AmongCodesAWordInMoreThanATenthOfTheRowsMakesAColumnOfWordsAndASentence) {
  const std::string text = table_of("x,z,y", 100, [](int r) {
    return fmt::format("{},{},{}", r % 5 ? std::to_string(r % 7) : "A", scattered(r), r % 2);
  });
  const DataParts parts = load(text);
  EXPECT_EQ(column(parts, "x").kind, ColumnKind::categorical);
  EXPECT_PRED2(
      contains, notes_of(parts),
      "column x was read as words: 20 of 100 fields are not numbers, the first is \"A\" in line 2 [missing A]");
  EXPECT_EQ(column(load(text, {.missing_marks = {"a"}}), "x").kind, ColumnKind::numeric);
}

TEST(Strays, AmongMeasurementsAWordInFewerThanHalfOfTheRowsIsMissing) {
  const auto with_words = [](int of_ten, const char* decimals) {
    return load(table_of("x,z,y", 300, [&](int r) {
      return fmt::format("{},{},{}", r % 10 < of_ten ? "<0.5" : fmt::format("{}{}", 7 * r * r % 2000, decimals),
                         scattered(r), r % 2);
    }));
  };
  for (const char* decimals : {".25", ""}) {
    const DataParts parts = with_words(4, decimals);
    EXPECT_EQ(column(parts, "x").kind, ColumnKind::numeric) << "and not another word in nearly every row";
    EXPECT_TRUE(column(parts, "x").missing);
    EXPECT_PRED2(contains, notes_of(parts),
                 "120 of 300 fields are not numbers and count as missing, the first is \"<0.5\" in line 2 "
                 "[categorical x]");
  }
  EXPECT_NE(column(with_words(6, ".25"), "x").kind, ColumnKind::numeric);
}

TEST(Strays, MarksThatAreAskedForComeBesidesTheUsualOnes) {
  const DataParts parts = load(
      table_of("x,z,y", 100,
               [](int r) {
                 const std::string x = r % 10 == 3 ? "-999" : r % 10 == 4 ? "NA" : fmt::format("{}.5", scattered(r));
                 return fmt::format("{},{},{}", x, r % 13, r % 2);
               }),
      {.missing_marks = {"-999"}});
  EXPECT_PRED2(contains, notes_of(parts), "missing values: x 20");
  EXPECT_GE(column(parts, "x").low, 0);
}

TEST(Strays, BesideCodesRareWordsAreNoClassesAndTheirRowsAreLeftOut) {
  const auto labelled = [](int words) {
    return table_of("x,z,y", 400, [&](int r) {
      return fmt::format("{},{},{}", scattered(r), r % 13, r < words ? "spoilt" : std::to_string(r % 3));
    });
  };
  const DataParts parts = load(labelled(1));
  EXPECT_EQ(parts.preprocessing->target.classes, (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_EQ(rows_of(parts), 399);
  EXPECT_PRED2(contains, notes_of(parts),
               "1 rows were left out for a word among the target's numbers (column y), the first \"spoilt\" in line 2 "
               "[categorical y]");
  EXPECT_EQ(load(labelled(1), {.categorical = {"y"}}).train->classes(), 4);
  EXPECT_EQ(load(labelled(40)).train->classes(), 4) << "a class of its own";
  EXPECT_PRED2(contains, notes_of(load(labelled(40))), "target y, the last column: classes, for it holds words");
  EXPECT_PRED2(
      contains, notes_of(load(labelled(40))),
      "column y, the target: 40 of 400 fields are not numbers, but classes as well, the first is \"spoilt\" in "
      "line 2 [missing spoilt]");
}

TEST(Strays, AmongTheNumbersOfARegressionWordsAreLeftOut) {
  const std::string text = table_of("x,z,y", 400, [](int r) {
    return fmt::format("{},{},{}", scattered(r), r % 13, r % 20 == 7 ? "n.d." : fmt::format("{}.5", r));
  });
  const DataParts parts = load(text);
  EXPECT_EQ(parts.train->outputs(), 1);
  EXPECT_EQ(rows_of(parts), 380);
  EXPECT_PRED2(contains, notes_of(parts), "20 rows were left out for a word among the target's numbers");
  EXPECT_EQ(load(text, {.task = "regression"}).train->outputs(), 1);
}

TEST(Strays, NoneIsAClassAmongWordsAndMissingAmongNumbers) {
  const auto labels = [](const char* other, const TableOptions& options = {}) {
    return load(
        table_of("x,z,y", 100,
                 [&](int r) { return fmt::format("{},{},{}", scattered(r), r % 13, r % 4 == 0 ? "None" : other); }) +
            fmt::format("1,2,{0}\n1,3,{0}\n", contains(other, "1") ? "2" : "severe"),
        options);
  };
  EXPECT_EQ(labels("mild").preprocessing->target.classes, (std::vector<std::string>{"None", "mild", "severe"}));
  EXPECT_EQ(labels("mild", {.missing_marks = {"none"}}).train->classes(), 2);
  EXPECT_EQ(labels("1").preprocessing->target.classes, (std::vector<std::string>{"1", "2"}));
  EXPECT_PRED2(contains, notes_of(labels("1")), "25 rows without a target");
}

// --- rows that are no samples --------------------------------------------------------------------------------------

TEST(LeftOutRows, AHeaderThatIsRepeatedIsNamedByItsLine) {
  const std::string header = "x,z,colour,y";
  const auto part = [&](int rows) {
    return table_of(header, rows, [](int r) {
      return fmt::format("{},{},{},{}", scattered(r), r % 13, r % 3 ? "red" : "blue", r % 2);
    });
  };
  const DataParts parts = load(part(60) + part(50) + part(40));
  EXPECT_EQ(rows_of(parts), 150);
  EXPECT_EQ(parts.train->classes(), 2);
  EXPECT_EQ(column(parts, "x").kind, ColumnKind::numeric);
  EXPECT_PRED2(contains, notes_of(parts), "lines 62, 113 repeat the header and were left out");
  EXPECT_FALSE(contains(notes_of(parts), "are not numbers"));
}

TEST(LeftOutRows, TotalsInTheLastRowsAreNamedByTheirLines) {
  const std::string rows = table_of("x,z,y", 100, plain_row);
  for (const char* total : {"Total,,400", "TOTAL:,1,2", "Sum,3,4", "Summe,3,4", "Gesamt,,", "Average,1.5,0.5",
                            "mean,1,1", "1.5,Total,4", "Grand total,,3"}) {
    const DataParts parts = load(rows + total + "\n");
    EXPECT_EQ(rows_of(parts), 100) << total;
    EXPECT_EQ(parts.train->classes(), 2) << total;
    EXPECT_EQ(column(parts, "x").kind, ColumnKind::numeric) << total;
    EXPECT_PRED2(contains, notes_of(parts), "line 102 holds totals (") << total;
  }
  const DataParts two = load(rows + "Sum,7,8\nMean,1,2\n");
  EXPECT_EQ(rows_of(two), 100);
  EXPECT_PRED2(contains, notes_of(two), "lines 102, 103 hold totals (\"Sum\") and were left out");
  EXPECT_EQ(rules_of(rows + "Total,99999,400\n"), rules_of(rows)) << "no trace of it";
  EXPECT_EQ(rules_of(rows + "count,100,100\nmean,1,1\nstd,2,3\nmin,0,0\nmax,99999,400\n"), rules_of(rows));
}

TEST(LeftOutRows, AWordForTotalsElsewhereIsAWord) {
  const auto rows = [](const char* word) {
    return table_of("kind,x,y", 100, [&](int r) {
      return fmt::format("{},{},{}", r % 4 == 3 ? word : r % 4 ? "part" : "rest", scattered(r), r % 2);
    });
  };
  const DataParts parts = load(rows("total"));  // the last row, too
  EXPECT_EQ(rows_of(parts), 100);
  EXPECT_EQ(column(parts, "kind").words, (std::vector<std::string>{"part", "rest", "total"}));
  const std::string all = table_of("kind,x,y", 100, [](int r) {
    return fmt::format("{},{},{}", std::vector{"sum", "mean"}[static_cast<std::size_t>(r) % 2], scattered(r), r % 3);
  });
  EXPECT_EQ(rows_of(load(all)), 100) << "in every row";
  const std::string names = table_of("name,x,y", 60, [](int r) {
    return fmt::format("{},{},{}", r == 59 ? "Max" : r % 2 ? "Ida" : "Tom", scattered(r), r % 2);
  });
  EXPECT_EQ(rows_of(load(names)), 60) << "a name";
  EXPECT_EQ(rows_of(load("x,z,y\nTotal,1,1\n" + table_of("", 60, plain_row))), 61) << "in the first row";
  EXPECT_EQ(rows_of(load(table_of(
                "x,kind,y", 60,
                [](int r) { return fmt::format("{},{},{}", scattered(r), r == 59 ? "mean" : "nice", r % 2); }))),
            60)
      << "in a column of words";
}

// --- delimiters at the end of every row ------------------------------------------------------------------------------

TEST(LastColumns, WithoutValuesAreNotTheTargetWhetherThereIsAHeaderOrNot) {
  const auto table = [](const char* header, const char* behind) {
    return table_of(*header ? fmt::format("{}{}", header, behind) : "", 100,
                    [&](int r) { return plain_row(r) + behind; });
  };
  const std::string named = rules_of(table("c1,c2,c3", ","));
  EXPECT_EQ(rules_of(table("", "")), named);
  for (const char* behind : {",", ",,", ", "}) {
    const DataParts parts = load(table("", behind));
    EXPECT_EQ(parts.preprocessing->target.name, "c3") << behind;
    EXPECT_EQ(parts.preprocessing->features(), 2);
    EXPECT_EQ(parts.train->classes(), 2);
    for (const char* c : {"c1", "c2"})
      EXPECT_EQ(column(parts, c).scaling.centre, column(load(table("", "")), c).scaling.centre);
    EXPECT_PRED2(contains, notes_of(parts), "target c3, the last column that holds anything: classes");
    EXPECT_PRED2(contains, notes_of(parts), "ignored (no values): c4");
  }
  EXPECT_EQ(load(table("", ","), {.target = "c1"}).preprocessing->target.name, "c1");
  EXPECT_EQ(testing::complaint_about_table(table("", ","), {.target = "c4"}),
            "table.csv: column c4, the target: expected values, found none");
  EXPECT_EQ(testing::complaint_about_table(table_of("a,b,c,d", 100, [](int r) { return plain_row(r) + ","; })),
            "table.csv: column d, the target: expected values, found none")
      << "one with a name may be meant";
}

TEST(LastColumns, WithoutValuesInTheFirstRowsOnlyAreTheTarget) {
  const DataParts parts =
      load(table_of("", 1000, [](int r) { return plain_row(r) + (r < 400 ? "," : ",7") + (r % 2 ? "" : "5"); }));
  EXPECT_EQ(parts.preprocessing->target.name, "c4");
}

TEST(LastColumns, OfDecimalCommasAreFoundToo) {
  const DataParts parts =
      load(table_of("", 100, [](int r) { return fmt::format("{},5;{};{};", scattered(r), r % 13, r % 2); }));
  EXPECT_EQ(parts.preprocessing->target.name, "c3");
  EXPECT_EQ(parts.preprocessing->dialect.decimal, ',');
}

// --- other notations ------------------------------------------------------------------------------------------------

// A point, or `decimal` in its place.
std::string number(double value, char decimal) {
  std::string text = fmt::format("{:.1f}", value);
  if (decimal != '.') text[text.find('.')] = decimal;
  return text;
}

TEST(Notations, DecimalCommasAreReadAsThePointsTheyMean) {
  const auto table = [](char delimiter, char decimal, bool header) {
    return table_of(header ? fmt::format("x{0}z{0}y", delimiter) : "", 100, [&](int r) {
      return fmt::format("{1}{0}{2}{0}{3}", delimiter, number(scattered(r) / 10.0 - 3, decimal),
                         number(r % 7 / 3.0, decimal), r % 2);
    });
  };
  for (const char delimiter : {';', '\t', '|'})
    for (const bool header : {true, false}) {
      const DataParts parts = load(table(delimiter, ',', header));
      EXPECT_EQ(parts.preprocessing->features(), 2) << delimiter << header;
      EXPECT_EQ(parts.preprocessing->dialect.decimal, ',');
      EXPECT_EQ(rules_of(table(delimiter, ',', header)), rules_of(table(delimiter, '.', header)));
      EXPECT_PRED2(contains, notes_of(parts), "decimal commas");
    }
  EXPECT_PRED2(contains, notes_of(load(table(';', '.', true))),
               "read with semicolons between fields, names in line 1, decimal points, UTF-8 [delimiter; header; "
               "decimal; charset]");
  EXPECT_PRED2(contains,
               notes_of(load(table(';', '.', true), {.csv = {.dialect = {.delimiter = ';', .decimal = '.'}}})),
               "decimal points, UTF-8 [header; charset]");
}

TEST(Notations, TheMarkOfMostNumbersIsTheDecimalOne) {
  const auto decimal = [](const std::string& header, auto&& line) {
    return load(table_of(header, 100, line)).preprocessing->dialect.decimal;
  };
  EXPECT_EQ(
      decimal("x;z;y", [](int r) { return fmt::format("{},5;{};{}", r * 7 % 50, r == 5 ? "1.5" : "2,25", r % 2); }),
      ',');
  EXPECT_EQ(
      decimal("x;z;y", [](int r) { return fmt::format("{}.5;{};{}", r * 7 % 50, r == 5 ? "1,5" : "2.25", r % 2); }),
      '.');
  EXPECT_EQ(decimal("x;z;y", [](int r) { return fmt::format("{},500;{};{}", 1 + r * 7 % 50, r % 3, r % 2); }), ',')
      << "1,500 between semicolons";
  EXPECT_EQ(decimal("x;z;y", [](int r) { return fmt::format("{}.500;{};{}", 1 + r * 7 % 50, r % 3, r % 2); }), '.')
      << "as programs write it";
  EXPECT_EQ(decimal("x,z,y", [](int r) { return fmt::format("\"{},500\",{},{}", 1 + r * 7 % 50, r % 3, r % 2); }), '.')
      << "thousands between commas";
  EXPECT_EQ(decimal("x,z,y", [](int r) { return fmt::format("\"{},5\",{},{}", r * 7 % 50, r % 3, r % 2); }), ',')
      << "quoted";
  EXPECT_EQ(decimal("x,z,y", [](int r) { return fmt::format("{},{},{}", r * 7 % 50, r % 3, r % 2); }), '.');
  std::string late = table_of("x;y", 6000, [](int r) { return fmt::format("{};{}", r * 7 % 50, r % 2); });
  late += table_of("", 100, [](int r) { return fmt::format("{},5;{}", r * 7 % 50, r % 2); });
  EXPECT_EQ(load(late).preprocessing->dialect.decimal, ',') << "which comes late";
}

TEST(Notations, ThousandsCurrenciesPercentAndUnicodeAreNumbersAndSaid) {
  const auto table = [](auto&& write) {
    return table_of("income,share,y", 100, [&](int r) { return write(1000 + 37 * scattered(r), r * 7 % 30, r % 2); });
  };
  const auto plain = [](int income, int share, int y) { return fmt::format("{},{},{}", income, share, y); };
  const auto group = [](int n) { return fmt::format("{},{:03}", n / 1000, n % 1000); };
  const std::string rules = rules_of(table(plain));
  EXPECT_EQ(rules_of(table([&](int i, int s, int y) { return fmt::format("\"{}\",{},{}", group(i), s, y); })), rules);
  EXPECT_EQ(rules_of(table([&](int i, int s, int y) { return fmt::format("${}.00,{}%,{}", i, s, y); })), rules);
  EXPECT_EQ(rules_of(table([&](int i, int s, int y) { return fmt::format("\"€ {}\",{} %,{}", group(i), s, y); })),
            rules);
  const auto minus = [&](const char* sign) {
    return rules_of(table([&](int i, int s, int y) { return fmt::format("{}{},{},{}", sign, i, s, y); }));
  };
  EXPECT_EQ(minus("\u2212"), minus("-"));
  const DataParts parts = load(table([&](int i, int s, int y) { return fmt::format("${}.00,{}%,{}", i, s, y); }));
  EXPECT_PRED2(contains, notes_of(parts),
               "numbers as people write them: income 100 (\"$1000.00\" in line 2), share 100 (\"0%\" in line 2) "
               "[decimal]");
}

// --- large numbers
// ----------------------------------------------------------------------------------------------------

// The same table twice: x as it is, and less `offset`.
TEST(LargeNumbers, LearnAsIfAConstantHadBeenSubtracted) {
  struct Case {
    const char* name;
    std::uint64_t base, step;
  };
  for (const Case& c : {Case{"seconds", 1700000000, 1}, Case{"nanoseconds", 1700000000000000000, 7000000123},
                        Case{"numbers of 18 digits", 123456789012345678, 1}, Case{"16 million", 100000000, 1}}) {
    const auto table = [&](std::uint64_t base) {
      return table_of("t,z,y", 97, [&](int r) {
        return fmt::format("{},{},{}", base + c.step * static_cast<std::uint64_t>(scattered(r)), r % 13, r % 2);
      });
    };
    for (const char* scaling : {"standard", "robust", "quantile", "piecewise"}) {
      const DataParts large = load(table(c.base), {.scaling = scaling}), small = load(table(0), {.scaling = scaling});
      ASSERT_EQ(large.train->samples(), small.train->samples());
      for (Index i = 0; i < large.train->samples(); ++i) {
        const auto a = features(*large.train, i), b = features(*small.train, i);
        ASSERT_EQ(a.size(), b.size()) << c.name;
        for (std::size_t f = 0; f < a.size(); ++f) EXPECT_NEAR(a[f], b[f], 2e-6) << c.name;
      }
      EXPECT_NE(column(large, "t").offset, 0);
      EXPECT_EQ(column(small, "t").offset, 0);
    }
  }
}

TEST(LargeNumbers, AreTargetsAsWell) {
  const auto table = [&](std::int64_t base) {
    return table_of("x,t", 97, [&](int r) { return fmt::format("{}.5,{}", scattered(r), base + 3 * scattered(r)); });
  };
  const DataParts large = load(table(1700000000000)), small = load(table(0));
  for (Index i = 0; i < large.train->samples(); ++i)
    EXPECT_NEAR(testing::target(*large.train, i), testing::target(*small.train, i), 1e-6);
  const TargetRule& rule = large.preprocessing->target;
  EXPECT_NEAR(static_cast<double>(std::stold(rule.text_of(1)) - std::stold(rule.text_of(0))), rule.deviation, 0.01);
  EXPECT_TRUE(rule.text_of(0).starts_with("17000000001")) << rule.text_of(0);
  EXPECT_NEAR(large.train->target_scale().mean, 1700000000000 + small.preprocessing->target.mean, 0.01);
  const Encoder encoder(*large.preprocessing);
  EXPECT_EQ(encoder.value("1700000000003") - encoder.value("1700000000000"), 3);
}

TEST(LargeNumbers, OrdinaryColumnsHaveNoOffset) {
  const DataParts parts = load(table_of("year,latitude,weight,price,y", 97, [](int r) {
    return fmt::format("{},{},{},{},{}", 2011 + r % 2, 37.5 + 0.01 * scattered(r), 189778 + 12285 * scattered(r),
                       1e9 * (1 + scattered(r)), r % 2);
  }));
  for (const ColumnRule& rule : parts.preprocessing->columns) EXPECT_EQ(rule.offset, 0) << rule.name;
  EXPECT_FALSE(contains(to_json(*parts.preprocessing), "offset"));
}

// x as it is, among them some fields `outlier`: the others keep their digits.
TEST(LargeNumbers, KeepTheirDigitsBesideOutliers) {
  struct Case {
    const char* name;
    std::int64_t base, step;
  };
  for (const Case& c : {Case{"seconds", 1700000000, 1}, Case{"nanoseconds", 1700000000000000000, 7000000123},
                        Case{"numbers of 18 digits", 123456789012345678, 1}})
    for (const char* outlier : {"0", "-1", "-9223372036854775808", "9000000000000000000", "1e30"})
      for (const int every : {97, 10, 3}) {
        const DataParts parts = load(table_of("t,z,y", 194, [&](int r) {
          return fmt::format("{},{},{}", r % every == 2 ? outlier : std::to_string(c.base + c.step * scattered(r)),
                             r % 13, r % 2);
        }));
        const ColumnRule& rule = column(parts, "t");
        ASSERT_NE(rule.offset, 0) << c.name << ", " << outlier;
        const Encoder encoder(*parts.preprocessing);
        EncodingCounts counts(2);
        const auto kept = [&](int n) {
          return std::bit_cast<float>(encoder.encode(0, std::to_string(c.base + c.step * n), counts));
        };
        for (int n = 0; n < 96; ++n)
          EXPECT_NEAR((kept(n + 1) - kept(n)) / static_cast<float>(c.step), 1, 1e-4) << c.name << ", " << outlier;
        EXPECT_PRED2(contains, notes_of(parts), "column t: most of its numbers are about ");
        EXPECT_PRED2(contains, notes_of(parts), "[scaling robust]");
        EXPECT_FALSE(contains(notes_of(parts), "stay apart as floats"));
      }
}

TEST(LargeNumbers, KeepTheirDigitsWhereMostRowsHaveAMarkForMissing) {
  for (const int every : {2, 4, 8, 10, 100}) {
    const DataParts parts = load(table_of("t,z,y", 9700, [&](int r) {
      return fmt::format("{},{},{}", r % every != 1 ? 0 : 1700000000 + r, r % 13, r / 7 % 2);
    }));
    EXPECT_NEAR(column(parts, "t").offset, 1700000000, 9700) << every;
    EXPECT_PRED2(contains, notes_of(parts), "but some as far from them as 0 [scaling robust]") << every;
  }
}

TEST(LargeNumbers, OfTargetsKeepTheirDigitsToo) {
  const DataParts parts = load(table_of("x,t", 97, [](int r) {
    return fmt::format("{}.5,{}", scattered(r), r == 5 ? 0 : 1700000000000 + 3 * scattered(r));
  }));
  EXPECT_NEAR(parts.preprocessing->target.offset, 1700000000000, 300);
  EXPECT_PRED2(contains, notes_of(parts), "column t: most of its numbers are about 17000000000");
}

TEST(LargeNumbers, OfTwoUnitsSayWhatIsLost) {
  const DataParts parts = load(table_of("t,z,y", 970, [](int r) {
    const std::int64_t seconds = 1700000000 + r;
    return fmt::format("{},{},{}", r % 5 < 2 ? seconds : 1000 * seconds, r % 13, r % 2);
  }));
  EXPECT_PRED2(contains, notes_of(parts), "column t: some of its numbers are too close together, ");
  EXPECT_FALSE(contains(notes_of(parts), "column z"));
}

TEST(LargeNumbers, OutliersOfOrdinaryColumnsChangeNothing) {
  const DataParts parts = load(table_of("year,flag,price,wait,y", 970, [](int r) {
    return fmt::format("{},{},{},{},{}", r == 9 ? 0 : 2000 + r % 20, r == 9 ? -999 : r % 2,
                       r % 97 == 3 ? 1e9 : 0.5 * scattered(r), r % 50 ? 0 : 1e6 + 17.5 * r, r % 2);
  }));
  for (const char* name : {"year", "flag", "price"}) EXPECT_EQ(column(parts, name).offset, 0) << name;
  EXPECT_FALSE(contains(notes_of(parts), "most of its numbers"));
  EXPECT_FALSE(contains(notes_of(parts), "stay apart as floats"));
}

TEST(LargeNumbers, OnlyWhatIsConstantIsConstant) {
  const auto why = [](std::int64_t base, int step) {
    return column(load(table_of(
                      "t,z,y", 97,
                      [&](int r) { return fmt::format("{},{},{}", base + step * (scattered(r) % 5), r % 13, r % 2); })),
                  "t")
        .why;
  };
  EXPECT_EQ(why(1700000000, 1), "");
  EXPECT_EQ(why(900719925474099300, 1), "");
  EXPECT_EQ(why(1700000000, 0), "constant");
}

// --- labels
// -----------------------------------------------------------------------------------------------------------

TEST(Labels, AreCalledAsTheyAreWritten) {
  const auto parts = [](const std::vector<std::string>& labels) {
    return load(table_of("x,z,y", 100, [&](int r) {
      return fmt::format("{},{},{}", scattered(r), r % 13, labels[static_cast<std::size_t>(r) % labels.size()]);
    }));
  };
  EXPECT_EQ(parts({"012", "007"}).preprocessing->target.classes, (std::vector<std::string>{"007", "012"}));
  EXPECT_EQ(parts({"1.0", "-0.0", "0.0"}).preprocessing->target.classes, (std::vector<std::string>{"-0.0", "1.0"}));
  EXPECT_EQ(parts({"1.0", "1", "-0", "01"}).preprocessing->target.classes, (std::vector<std::string>{"-0", "1.0"}));
  EXPECT_EQ(parts({"10", "9", "8"}).preprocessing->target.classes, (std::vector<std::string>{"8", "9", "10"}));
  EXPECT_EQ(parts({"900719925474099301", "900719925474099302"}).train->classes(), 2);
  const Encoder encoder(*parts({"1.0", "-0.0"}).preprocessing);
  for (const char* zero : {"-0.0", "0", "-0", "0.0", "+0", "0e5"}) EXPECT_EQ(encoder.label(zero), 0) << zero;
  for (const char* one : {"1.0", "1", "+1", "01"}) EXPECT_EQ(encoder.label(one), 1) << one;
  EXPECT_EQ(encoder.label("NA"), -1);
  EXPECT_THROW(encoder.label("2"), BadField);
}

TEST(Labels, WhatIsTakenForARegressionSaysHowToHaveClasses) {
  const auto table = [](int values) {
    return table_of("x,z,y", 520, [&](int r) { return fmt::format("{},{},{}", scattered(r), r % 13, 1 + r % values); });
  };
  EXPECT_PRED2(contains, notes_of(load(table(26))),
               "target y, the last column: regression, for its 26 different whole numbers are many [target; task "
               "classification]");
  EXPECT_PRED2(contains, notes_of(load(table(3))),
               "target y, the last column: classes, for its 3 different whole numbers are few [target; task "
               "regression]");
  const DataParts asked = load(table(26), {.target = "y", .task = "classification"});
  EXPECT_EQ(asked.train->classes(), 26);
  EXPECT_FALSE(contains(notes_of(asked), "[task"));
}

// --- names
// ------------------------------------------------------------------------------------------------------------

TEST(Names, ThatHoldACommaAreFoundWholeOrInPieces) {
  const std::string text =
      table_of("\"Temp, C\",\"a,b\",z,y", 100, [](int r) { return fmt::format("{},{}", r % 7, plain_row(r)); });
  for (const std::vector<std::string>& ignore :
       std::vector<std::vector<std::string>>{{"Temp, C", "a,b"}, {"Temp", "C", "a", "b"}}) {
    const DataParts parts = load(text, {.ignore = ignore});
    EXPECT_EQ(column(parts, "Temp, C").why, "asked for");
    EXPECT_EQ(column(parts, "a,b").why, "asked for");
    EXPECT_EQ(column(parts, "z").why, "");
  }
  EXPECT_PRED2(contains, testing::complaint_about_table(text, {.ignore = {"Temp", "F"}}),
               "[table] ignore: table.csv: expected one of the columns Temp, C, a,b, z, y, got \"Temp\"");
}

TEST(Names, MessagesShowNothingOfTheFileRaw) {
  const std::string said =
      testing::complaint_about_table("x,\"evil\x1b[2J\"\n1,a\x07\n2,b\n3,c\n", {.task = "regression"});
  EXPECT_EQ(said.find('\x1b'), std::string::npos) << said;
  EXPECT_EQ(said.find('\x07'), std::string::npos);
}

}  // namespace
}  // namespace espalier
