#!/usr/bin/env escript
%% -*- erlang -*-
%%! +pc unicode
%% SPDX-License-Identifier: Apache-2.0
%% Write the golden terms of test/data/etf, which Check, unittest and Common
%% Test hold the codec to:
%%
%%   NAME.etf    bytes to decode
%%   NAME.repr   the repr() of the Python object they decode to
%%   NAME.back   what that object encodes to, where it is not NAME.etf
%%   NAME.error  instead of the two: what the DecodeError says
%%
%% Usage: escript scripts/gen_golden.escript test/data/etf

-define(NODE, 119, 8, "node@box").

main([Dir]) ->
    Cases = integers() ++ floats() ++ atoms() ++ binaries() ++ lists() ++ tuples()
        ++ maps_() ++ idents() ++ funs() ++ compressed() ++ refused(),
    Names = [element(2, C) || C <- Cases],
    [] = Names -- lists:usort(Names),
    [ok = file:delete(F) || F <- filelib:wildcard(filename:join(Dir, "*.{etf,repr,back,error}"))],
    lists:foreach(fun(C) -> write(Dir, C) end, Cases),
    io:format("~b golden terms~n", [length(Cases)]);
main(_) ->
    io:format(standard_error, "usage: gen_golden.escript DIRECTORY~n", []),
    halt(64).

write(Dir, {term, Name, Term, Repr}) ->
    write(Dir, {bytes, Name, t2b(Term), Repr});
write(Dir, {term, Name, Term, Repr, Back}) ->
    write(Dir, {bytes, Name, t2b(Term), Repr, t2b(Back)});
write(Dir, {bytes, Name, Bytes, Repr}) ->
    put_file(Dir, Name, ".etf", Bytes),
    put_file(Dir, Name, ".repr", unicode:characters_to_binary([Repr, $\n]));
write(Dir, {bytes, Name, Bytes, Repr, Back}) ->
    write(Dir, {bytes, Name, Bytes, Repr}),
    put_file(Dir, Name, ".back", Back);
write(Dir, {error, Name, Bytes, Text}) ->
    put_file(Dir, Name, ".etf", Bytes),
    put_file(Dir, Name, ".error", [Text, $\n]).

put_file(Dir, Name, Extension, Bytes) ->
    ok = file:write_file(filename:join(Dir, Name ++ Extension), Bytes).

t2b(Term) ->
    term_to_binary(Term, [{minor_version, 2}]).

%% A list of bytes comes back as LIST_EXT, which is the same list.
plain_list(Items) ->
    iolist_to_binary([131, 108, <<(length(Items)):32>>, [[97, I] || I <- Items], 106]).

integers() ->
    [{term, "int_" ++ Name, N, integer_to_list(N)}
     || {Name, N} <- [{"0", 0}, {"255", 255}, {"256", 256}, {"minus_1", -1},
                      {"max_32", (1 bsl 31) - 1}, {"min_32", -(1 bsl 31)},
                      {"over_32", 1 bsl 31}, {"under_32", -(1 bsl 31) - 1},
                      {"max_60", (1 bsl 59) - 1}, {"over_60", 1 bsl 59},
                      {"max_64", (1 bsl 63) - 1}, {"over_64", 1 bsl 63},
                      {"min_64", -(1 bsl 63)}, {"under_64", -(1 bsl 63) - 1},
                      {"unsigned_64", (1 bsl 64) - 1}, {"65_bits", 1 bsl 64},
                      {"minus_65_bits", -(1 bsl 64)},
                      {"255_bytes", (1 bsl (255 * 8)) - 1},
                      {"256_bytes", 1 bsl (255 * 8)},
                      {"minus_256_bytes", -(1 bsl (255 * 8))}]]
        ++ [{bytes, "int_big_zero", <<131, 110, 0, 0>>, "0", <<131, 97, 0>>},
            {bytes, "int_big_padded", <<131, 110, 3, 1, 5, 0, 0>>, "-5",
             <<131, 98, -5:32>>},
            {bytes, "int_wide_small", <<131, 98, 7:32>>, "7", <<131, 97, 7>>},
            {bytes, "int_large_big_small", <<131, 111, 1:32, 0, 9>>, "9", <<131, 97, 9>>}].

floats() ->
    [{term, "float_0", 0.0, "0.0"},
     {term, "float_minus_0", -0.0, "-0.0"},
     {term, "float_1_5", 1.5, "1.5"},
     {term, "float_max", 1.7976931348623157e308, "1.7976931348623157e+308"},
     {term, "float_min", 5.0e-324, "5e-324"},
     {bytes, "float_text", term_to_binary(-1.25e-3, [{minor_version, 0}]), "-0.00125",
      t2b(-1.25e-3)},
     {term, "float_infinity", infinity, "inf"},
     {term, "float_neg_infinity", neg_infinity, "-inf"},
     {term, "float_nan", nan, "nan"}].

atoms() ->
    Long = list_to_atom(lists:duplicate(255, $x)),
    Wide = list_to_atom(lists:duplicate(255, 16#1f600)),
    [{term, "atom_true", true, "True"},
     {term, "atom_false", false, "False"},
     {term, "atom_none", none, "None"},
     {term, "atom_undefined", undefined, "None", none},
     {term, "atom_nil", nil, "None", none},
     {term, "atom_ok", ok, "Atom('ok')"},
     {term, "atom_empty", '', "Atom('')"},
     {term, "atom_quote", 'it\'s', "Atom(\"it's\")"},
     {term, "atom_nul", list_to_atom([0]), "Atom('\\x00')"},
     {term, "atom_unicode", list_to_atom([16#e9, 16#4e2d]), ["Atom('", [16#e9, 16#4e2d], "')"]},
     {term, "atom_255", Long, ["Atom('", lists:duplicate(255, $x), "')"]},
     {term, "atom_1020_bytes", Wide, ["Atom('", lists:duplicate(255, 16#1f600), "')"]},
     {bytes, "atom_latin1", <<131, 100, 2:16, $a, 16#e9>>, ["Atom('a", 16#e9, "')"],
      t2b(list_to_atom([$a, 16#e9]))},
     {bytes, "atom_small_latin1", <<131, 115, 1, 16#ff>>, ["Atom('", 16#ff, "')"],
      t2b(list_to_atom([16#ff]))},
     {bytes, "atom_true_latin1", <<131, 100, 4:16, "true">>, "True", t2b(true)},
     {bytes, "atom_wide_utf8", <<131, 118, 2:16, "ok">>, "Atom('ok')", t2b(ok)}].

binaries() ->
    [{term, "binary_empty", <<>>, "''"},
     {term, "binary_ascii", <<"abc">>, "'abc'"},
     {term, "binary_utf8", <<"h\x{e9}\x{1f600}"/utf8>>, ["'h", 16#e9, 16#1f600, "'"]},
     {term, "binary_nul", <<0>>, "'\\x00'"},
     {term, "binary_bytes", <<255, 0, 254>>, "b'\\xff\\x00\\xfe'"},
     {term, "binary_overlong", <<16#c0, 16#80>>, "b'\\xc0\\x80'"},
     {term, "binary_surrogate", <<16#ed, 16#a0, 16#80>>, "b'\\xed\\xa0\\x80'"},
     {term, "binary_cut_utf8", <<16#e4, 16#b8>>, "b'\\xe4\\xb8'"},
     {term, "binary_70000", binary:copy(<<"x">>, 70000),
      ["'", lists:duplicate(70000, $x), "'"]},
     {term, "bytes_pair", {bytes, <<"abc">>}, "b'abc'", <<"abc">>},
     {bytes, "bytes_pair_latin1", <<131, 104, 2, 100, 5:16, "bytes", 109, 1:32, "a">>, "b'a'",
      t2b(<<"a">>)},
     {term, "bytes_pair_of_int", {bytes, 1}, "(Atom('bytes'), 1)"},
     {term, "bytes_triple", {bytes, <<"a">>, 1}, "(Atom('bytes'), 'a', 1)"},
     {term, "bits_1", <<1:1>>, "BitString(b'\\x80', 1)"},
     {term, "bits_11", <<16#ffff:11>>, "BitString(b'\\xff\\xe0', 11)"},
     {bytes, "bits_dirty", <<131, 77, 1:32, 3, 16#ff>>, "BitString(b'\\xe0', 3)", t2b(<<7:3>>)},
     {bytes, "bits_whole", <<131, 77, 1:32, 8, "a">>, "'a'", t2b(<<"a">>)},
     {bytes, "bits_none", <<131, 77, 0:32, 0>>, "''", t2b(<<>>)}].

lists() ->
    [{term, "list_empty", [], "[]"},
     {bytes, "list_string", t2b("abc"), "[97, 98, 99]", plain_list("abc")},
     {bytes, "list_string_nul", t2b([0]), "[0]", plain_list([0])},
     {term, "list_ints", [1, 256, -1], "[1, 256, -1]"},
     {term, "list_nested", [[], [[a]]], "[[], [[Atom('a')]]]"},
     {term, "list_improper", [a, b | c], "ImproperList([Atom('a'), Atom('b')], Atom('c'))"},
     {term, "list_improper_tuple", [1 | {2}], "ImproperList([1], (2,))"},
     {bytes, "list_of_nothing", <<131, 108, 0:32, 97, 5>>, "5", <<131, 97, 5>>},
     {bytes, "list_tail_list", <<131, 108, 1:32, 97, 5, 107, 1:16, 3>>, "[5, 3]",
      plain_list([5, 3])},
     {bytes, "list_tail_improper", <<131, 108, 1:32, 97, 1, 108, 1:32, 97, 2, 97, 3>>,
      "ImproperList([1, 2], 3)", t2b([1, 2 | 3])}].

tuples() ->
    [{term, "tuple_empty", {}, "()"},
     {term, "tuple_1", {a}, "(Atom('a'),)"},
     {term, "tuple_2", {1, {2.0, <<"x">>}}, "(1, (2.0, 'x'))"},
     {term, "tuple_255", erlang:make_tuple(255, 1), ["(", lists:join(", ", lists:duplicate(255, "1")), ")"]},
     {term, "tuple_256", erlang:make_tuple(256, 1), ["(", lists:join(", ", lists:duplicate(256, "1")), ")"]}].

maps_() ->
    [{term, "map_empty", #{}, "{}"},
     {term, "map_atoms", #{a => 1, b => [2, 300]}, "{Atom('a'): 1, Atom('b'): [2, 300]}"},
     {term, "map_binaries", #{<<"k">> => #{}}, "{'k': {}}"},
     {term, "map_list_key", #{[1, 300] => a}, "{FrozenList([1, 300]): Atom('a')}"},
     {term, "map_empty_list_key", #{[] => 1}, "{FrozenList([]): 1}"},
     {bytes, "map_string_key", t2b(#{"a" => 1}), "{FrozenList([97]): 1}",
      iolist_to_binary([131, 116, <<1:32>>, 108, <<1:32>>, 97, $a, 106, 97, 1])},
     {term, "map_map_key", #{#{a => [300]} => 1},
      "{FrozenMap({Atom('a'): FrozenList([300])}): 1}"},
     {term, "map_tuple_key", #{{[300], #{}} => 1},
      "{(FrozenList([300]), FrozenMap({})): 1}"},
     {term, "map_improper_key", #{[1 | [[300] | 3]] => 1},
      "{ImproperList([1, FrozenList([300])], 3): 1}"},
     {term, "map_bits_key", #{<<1:1>> => 1}, "{BitString(b'\\x80', 1): 1}"},
     {error, "map_number_clash", t2b(#{1 => a, 1.0 => b}), "the keys 1 and 1.0 of a map"},
     {error, "map_true_clash", t2b(#{1 => a, true => b}), "of a map are equal in Python"},
     {error, "map_text_clash", t2b(#{a => 1, <<"a">> => 2}), "the keys Atom('a') and 'a'"},
     {error, "map_none_clash", t2b(#{nil => 1, undefined => 2}), "the keys None and None"},
     {error, "map_nested_clash", t2b([#{{1} => a, {1.0} => b}]), "the keys (1,) and (1.0,)"}].

idents() ->
    Pid = <<131, 88, ?NODE, 85:32, 3:32, 7:32>>,
    Port = <<131, 89, ?NODE, 6:32, 7:32>>,
    Ref = <<131, 90, 3:16, ?NODE, 7:32, 1:32, 2:32, 3:32>>,
    PidRepr = "<erlang.Pid node@box 0.85.3>",
    PortRepr = "<erlang.Port node@box 0.6>",
    RefRepr = "<erlang.Ref node@box 0.3.2.1>",
    [{bytes, "pid", Pid, PidRepr},
     {bytes, "pid_old", <<131, 103, 100, 8:16, "node@box", 85:32, 3:32, 7>>, PidRepr, Pid},
     {bytes, "pid_latin1_node", <<131, 88, 100, 8:16, "node@box", 85:32, 3:32, 7:32>>,
      PidRepr, Pid},
     {bytes, "pid_as_key", <<131, 116, 1:32, (binary:part(Pid, 1, byte_size(Pid) - 1))/binary,
                            97, 1>>, ["{", PidRepr, ": 1}"]},
     {bytes, "port", Port, PortRepr},
     {bytes, "port_old", <<131, 102, 115, 8, "node@box", 6:32, 7>>, PortRepr, Port},
     {bytes, "port_v4_small", <<131, 120, ?NODE, 6:64, 7:32>>, PortRepr, Port},
     {bytes, "port_v4", <<131, 120, ?NODE, (1 bsl 40):64, 7:32>>,
      "<erlang.Port node@box 0.1099511627776>"},
     {bytes, "ref", Ref, RefRepr},
     {bytes, "ref_new", <<131, 114, 3:16, ?NODE, 7, 1:32, 2:32, 3:32>>, RefRepr, Ref},
     {bytes, "ref_5_words", <<131, 90, 5:16, ?NODE, 7:32, 1:32, 2:32, 3:32, 4:32, 5:32>>,
      "<erlang.Ref node@box 0.5.4.3.2.1>"},
     {bytes, "ref_old", <<131, 101, ?NODE, 9:32, 1>>, "<erlang.Ref node@box 0.9>",
      <<131, 90, 1:16, ?NODE, 1:32, 9:32>>}].

%% The fun is written by hand: a real one would differ with every run.
funs() ->
    Free = <<97, 1, 108, 1:32, 119, 1, "a", 106>>,
    New = fun_bytes(<<119, 3, "mod">>, <<88, ?NODE, 1:32, 2:32, 3:32>>, Free),
    Old = fun_bytes(<<100, 3:16, "mod">>, <<103, 100, 8:16, "node@box", 1:32, 2:32, 3>>,
                    <<97, 1, 108, 1:32, 100, 1:16, "a", 106>>),
    [{term, "fun_export", fun lists:map/2, "<erlang.Fun lists:map/2>"},
     {bytes, "fun_export_latin1", <<131, 113, 100, 5:16, "lists", 100, 3:16, "map", 97, 2>>,
      "<erlang.Fun lists:map/2>", t2b(fun lists:map/2)},
     {bytes, "fun_new", New, "<erlang.Fun mod/4>"},
     {bytes, "fun_new_old_parts", Old, "<erlang.Fun mod/4>", New}].

fun_bytes(Module, Pid, Free) ->
    Rest = <<4, 0:128, 5:32, 2:32, Module/binary, 97, 6, 98, 70000:32, Pid/binary, Free/binary>>,
    <<131, 112, (byte_size(Rest) + 4):32, Rest/binary>>.

compressed() ->
    Long = lists:duplicate(100, 1000),
    [{bytes, "compressed", term_to_binary(Long, [compressed]),
      ["[", lists:join(", ", lists:duplicate(100, "1000")), "]"], t2b(Long)},
     {bytes, "compressed_small", compress(2, <<97, 5>>), "5", <<131, 97, 5>>},
     {error, "compressed_too_long", compress(1, <<97, 5>>), "malformed data"},
     {error, "compressed_too_short", compress(3, <<97, 5>>), "malformed data"},
     {error, "compressed_huge", compress(16#ffffffff, <<97, 5>>), "a limit was exceeded"},
     {error, "compressed_trailing", <<(compress(2, <<97, 5>>))/binary, 0>>,
      "bytes remain after the end"},
     {error, "compressed_inside_trailing", compress(3, <<97, 5, 0>>),
      "bytes remain after the term at byte 2 of the inflated term"},
     {error, "compressed_no_zlib", <<131, 80, 2:32, "abc">>, "malformed data"},
     {error, "compressed_twice", compress(20, <<80, 0:152>>), "a compressed term inside a term"}].

compress(Size, Body) ->
    <<131, 80, Size:32, (zlib:compress(Body))/binary>>.

refused() ->
    [{error, "bad_empty", <<>>, "the data ends too early at byte 0"},
     {error, "bad_version", <<130, 97, 1>>, "the first byte is not 131"},
     {error, "bad_no_term", <<131>>, "the data ends too early at byte 1"},
     {error, "bad_trailing", <<131, 97, 1, 97>>, "bytes remain after the term at byte 3"},
     {error, "bad_tag", <<131, 104, 1, 1>>, "unknown tag 1 at byte 3"},
     {error, "bad_local", <<131, 121, 0:32, 97, 1>>, "local format"},
     {error, "bad_cache_ref", <<131, 82, 0>>, "atom cache"},
     {error, "bad_dist_header", <<131, 68, 0>>, "distribution header"},
     {error, "bad_old_fun", <<131, 117, 0:32>>, "R8"},
     {error, "bad_atom_utf8", <<131, 119, 1, 255>>, "a malformed atom at byte 3"},
     {error, "bad_atom_256", <<131, 118, 256:16, (binary:copy(<<"x">>, 256))/binary>>,
      "a malformed atom at byte 4"},
     {error, "bad_atom_latin1_256", <<131, 100, 256:16, (binary:copy(<<"x">>, 256))/binary>>,
      "a malformed atom at byte 4"},
     {error, "bad_float_nan", <<131, 70, 16#7ff8000000000000:64>>, "not finite at byte 2"},
     {error, "bad_float_inf", <<131, 70, 16#fff0000000000000:64>>, "not finite at byte 2"},
     {error, "bad_float_text", <<131, 99, "1.0x", 0:(27 * 8)>>, "a malformed float"},
     {error, "bad_float_text_inf", <<131, 99, "inf", 0:(28 * 8)>>, "a malformed float"},
     {error, "bad_sign", <<131, 110, 1, 2, 1>>, "sign"},
     {error, "bad_bits_9", <<131, 77, 1:32, 9, 0>>, "a malformed bit string"},
     {error, "bad_bits_0", <<131, 77, 1:32, 0, 0>>, "a malformed bit string"},
     {error, "bad_bits_of_nothing", <<131, 77, 0:32, 3>>, "a malformed bit string"},
     {error, "bad_list_huge", <<131, 108, 16#ffffffff:32, 97, 1, 106>>,
      "more elements announced than bytes are left at byte 6"},
     {error, "bad_tuple_huge", <<131, 105, 16#ffffffff:32, 97, 1>>, "more elements announced"},
     {error, "bad_map_huge", <<131, 116, 16#ffffffff:32, 97, 1>>, "more elements announced"},
     {error, "bad_nested_counts", <<131, (binary:copy(<<108, 60:32>>, 30))/binary>>,
      "more elements announced"},
     {error, "bad_binary_huge", <<131, 109, 16#ffffffff:32, "x">>, "the data ends too early"},
     {error, "bad_big_huge", <<131, 111, 16#ffffffff:32, 0, 1>>, "the data ends too early"},
     {error, "bad_string_short", <<131, 107, 3:16, "ab">>, "the data ends too early at byte 6"},
     {error, "bad_ref_words", <<131, 90, 6:16, ?NODE, 7:32, 0:192>>, "malformed data"},
     {error, "bad_ref_no_words", <<131, 90, 0:16, ?NODE, 7:32>>, "malformed data"},
     {error, "bad_pid_node", <<131, 88, 97, 1, 0:96>>, "malformed data"},
     {error, "bad_fun_size", <<131, 112, 99:32, 0, 0:128, 0:32, 0:32, 119, 1, "m", 97, 0, 97, 0,
                               88, ?NODE, 0:96>>, "malformed data"},
     {error, "bad_export_arity", <<131, 113, 119, 1, "m", 119, 1, "f", 98, 2:32>>,
      "malformed data"},
     {error, "bad_deep", <<131, (binary:copy(<<104, 1>>, 1001))/binary, 97, 1>>,
      "nested too deeply"}].
