%% SPDX-License-Identifier: Apache-2.0
%% @doc Segments of shared memory, from either side, and who holds them.
-module(py_shm_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [arrives_as_a_view, wherever_it_stands, in_no_key, of_any_layout, invalid, empty, read_only,
     the_same_memory, from_python, layouts_of_python, no_buffer, there_and_back,
     a_part_is_a_copy, opened_once, by_a_callback, by_a_channel, by_a_stream, of_a_cast,
     awaited_late, from_threads, many_at_once, goes_with_its_last_holder, outlives_its_maker,
     of_a_dead_context, forged, false_releases, full, lies_about_its_shape, killed_at_random,
     outlives_its_module].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}]),
    ok = py_callback:register(shm_fresh, fun([N]) -> shm(binary:copy(<<"ab">>, N)) end),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    true = erlang:garbage_collect(),
    Config.

%% Whatever a case did, nothing is held when it is over.
end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    nothing_held().

nothing_held() ->
    py_ct:eventually(fun() ->
                             true = erlang:garbage_collect(),
                             [true = erlang:garbage_collect(P) || P <- processes(), P =/= self(),
                                                                  is_process_alive(P)] =/= x
                                 andalso maps:get(segments, py_shm:live()) =:= 0
                                 orelse py_shm:live()
                     end).

shm(Data) ->
    {ok, Shm} = py_shm:new(Data),
    Shm.

ctx(N) ->
    py:context(N).

on(N, Code, Locals) ->
    py:eval(ctx(N), Code, Locals).

%%% What arrives

arrives_as_a_view(_) ->
    Data = rand:bytes(100000),
    Shm = shm([Data]),
    ?assert(py_shm:is_shm(Shm)),
    ?assertEqual(100000, py_shm:size(Shm)),
    ?assertEqual({ok, Data}, py_shm:to_binary(Shm)),
    ?assertEqual({ok, {<<"memoryview">>, true, 100000, <<"B">>, <<"SharedMemory">>}},
                 py:eval("(type(x).__name__, x.readonly, len(x), x.format, type(x.obj).__name__)",
                         #{x => Shm})),
    ?assertEqual({ok, binary:at(Data, 777)}, py:call(operator, getitem, [Shm, 777])),
    ?assertEqual({ok, sha(Data)},
                 py:eval("__import__('hashlib').sha256(x).hexdigest()", #{x => Shm})).

sha(Data) ->
    string:lowercase(binary:encode_hex(crypto:hash(sha256, Data))).

wherever_it_stands(_) ->
    A = shm(<<"first">>), B = shm(<<"second">>),
    ?assertEqual({ok, [5, 6, 5, 6]},
                 py:eval("[len(x['a']), len(x['l'][1][0]), len(x['l'][0]), len(y)]",
                         #{x => #{a => A, l => [A, {B}]}, y => B})),
    ?assertEqual({ok, 5}, py:call(builtins, len, [A])),
    ok = py:exec("def shm_kw(*, data): return bytes(data)"),
    ?assertEqual({ok, <<"second">>}, py:call('__main__', shm_kw, [], #{data => B})),
    {ok, Ref} = py:call(ctx(1), builtins, list, [[]], #{return => ref}),
    {ok, none} = py:call_method(Ref, append, [A]),
    ?assertEqual({ok, 5}, on(1, "len(r[0])", #{r => Ref})).

in_no_key(_) ->
    {error, {"DecodeError", Why}} = py:call(builtins, len, [#{shm(<<"k">>) => 1}]),
    ?assertNotEqual(nomatch, string:find(Why, "in the key of a map")).

of_any_layout(_) ->
    Doubles = << <<X:64/native-float>> || X <- [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] >>,
    {ok, Shm} = py_shm:new(Doubles, #{format => "d", shape => [2, 3]}),
    ?assertEqual(#{size => 48, format => <<"d">>, shape => [2, 3]}, py_shm:info(Shm)),
    ?assertEqual({ok, {<<"d">>, {2, 3}, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}},
                 py:eval("(x.format, x.shape, x.tolist())", #{x => Shm})),
    {ok, Ints} = py_shm:new(<<1:16/native, 2:16/native>>, #{format => <<"H">>}),
    ?assertEqual({ok, [1, 2]}, py:call(builtins, list, [Ints])),
    %% What numpy alone can read passes as well.
    {ok, Complex} = py_shm:new(<<0:256>>, #{format => <<"Zd">>}),
    ?assertEqual({ok, {2, 16}}, py:eval("(x.shape[0], x.itemsize)", #{x => Complex})).

invalid(_) ->
    [?assertEqual({error, {invalid, Key, Value}}, py_shm:new(<<"12345678">>, Options))
     || {Key, Value, Options} <-
            [{format, <<"x">>, #{format => <<"x">>}}, {format, <<"dd">>, #{format => <<"dd">>}},
             {format, 1, #{format => 1}}, {format, <<>>, #{format => <<>>}},
             {format, <<"Zd">>, #{format => <<"Zd">>}}, {shape, [3], #{shape => [3]}},
             {shape, [-1, -8], #{shape => [-1, -8]}}, {shape, x, #{shape => x}},
             {shape, [8 | x], #{shape => [8 | x]}},
             {shape, [], #{shape => []}}, {shapes, [8], #{shapes => [8]}}, {options, [], []}]],
    ?assertEqual({error, {invalid, data, x}}, py_shm:new(x)),
    ?assertEqual({error, {invalid, shm, x}}, py_shm:to_binary(x)),
    [?assertNot(py_shm:is_shm(X)) || X <- [x, {py_shm}, {py_shm, 1, 2, 3, 4, 5}, #{}]],
    %% As many dimensions as fit, and none of them too many.
    {ok, _} = py_shm:new(<<"x">>, #{shape => lists:duplicate(32, 1)}),
    {error, {invalid, shape, _}} = py_shm:new(<<"x">>, #{shape => lists:duplicate(33, 1)}).

empty(_) ->
    Shm = shm(<<>>),
    ?assertEqual({ok, <<>>}, py_shm:to_binary(Shm)),
    ?assertEqual({ok, {0, <<>>}}, py:eval("(len(x), bytes(x))", #{x => Shm})),
    {ok, Back} = py:eval("__import__('erlang').SharedMemory(b'')"),
    ?assertEqual({ok, <<>>}, py_shm:to_binary(Back)).

%% Neither by Python's means nor by the kernel's.
read_only(_) ->
    Shm = shm(<<"never">>),
    {error, {"TypeError", _}} = py:eval("x.__setitem__(0, 1)", #{x => Shm}),
    ok = py:exec(ctx(1), <<"
import ctypes, mmap
def write(view):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    import re
    with open('/proc/self/maps') as f:
        line = [l for l in f if 'terrarium-shm' in l][0]
    start = int(line.split('-')[0], 16)
    r = libc.mprotect(start, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)
    return (r, ctypes.get_errno())
">>),
    ?assertEqual({ok, {-1, 13}}, py:call(ctx(1), '__main__', write, [Shm])), % EACCES
    ?assertEqual({ok, <<"never">>}, py_shm:to_binary(Shm)).

%% Two contexts map the file that the VM has open.
the_same_memory(_) ->
    Shm = shm(binary:copy(<<"x">>, 1 bsl 20)),
    Code = "[l.split()[4] for l in open('/proc/self/maps') if 'terrarium-shm' in l]",
    {ok, [Inode]} = on(1, Code, #{x => Shm}),
    ?assertEqual({ok, [Inode]}, on(2, Code, #{x => Shm})),
    {ok, _} = py_shm:to_binary(Shm),
    {ok, Maps} = file:read_file("/proc/self/maps"),
    ?assertNotEqual(nomatch, binary:match(Maps, Inode)).

%%% What Python makes

from_python(_) ->
    Data = rand:bytes(300000),
    ok = py:exec("import erlang"),
    {ok, Shm} = py:call(erlang, 'SharedMemory', [{bytes, Data}]),
    ?assertEqual(#{size => 300000, format => <<"B">>, shape => [300000]}, py_shm:info(Shm)),
    ?assertEqual({ok, Data}, py_shm:to_binary(Shm)),
    ?assertEqual({ok, true}, on(2, "bytes(x) == y", #{x => Shm, y => {bytes, Data}})).

layouts_of_python(_) ->
    ok = py:exec(ctx(1), "import erlang, array"),
    {ok, Shm} = on(1, "erlang.SharedMemory(memoryview(array.array('d', range(6))).cast('B')"
                   ".cast('d', (3, 2)))", #{}),
    ?assertEqual(#{size => 48, format => <<"d">>, shape => [3, 2]}, py_shm:info(Shm)),
    ?assertEqual({ok, [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]}, on(2, "x.tolist()", #{x => Shm})),
    ?assertEqual({ok, {48, <<"d">>, {3, 2}}},
                 on(2, "(x.obj.nbytes, x.obj.format, x.obj.shape)", #{x => Shm})).

no_buffer(_) ->
    Before = py_shm:live(),
    [{error, {Type, _}} = py:eval(["__import__('erlang').SharedMemory(", Code, ")"])
     || {Type, Code} <- [{"TypeError", "5"}, {"TypeError", "'text'"},
                         {"TypeError", "memoryview(b'abcd')[::2]"}, {"TypeError", ""}]],
    ?assertEqual(Before, py_shm:live()).

there_and_back(_) ->
    Shm = shm(<<"back">>),
    ?assertEqual({ok, Shm}, py:eval("x", #{x => Shm})),
    ?assertEqual({ok, [Shm, Shm]}, py:eval("[x, x.obj]", #{x => Shm})),
    ?assertEqual({ok, <<"back">>}, py_shm:to_binary(Shm)).

a_part_is_a_copy(_) ->
    Shm = shm(<<"a part">>),
    ?assertEqual({ok, <<"part">>}, py:eval("x[2:]", #{x => Shm})),
    ?assertEqual({ok, <<"a part">>}, py:eval("x.cast('c')", #{x => Shm})).

%% As long as Python has it, the VM is not asked again.
opened_once(_) ->
    Shm = shm(<<"once">>),
    ok = py:exec(ctx(1), "kept = []"),
    {ok, _} = on(1, "kept.append(x)", #{x => Shm}),
    {ok, true} = on(1, "x.obj is kept[0].obj", #{x => Shm}),
    ok = py:exec(ctx(1), "del kept"),
    {ok, 4} = on(1, "len(x)", #{x => Shm}).

%%% On the way

%% Nobody in Erlang has what a function made for Python.
by_a_callback(_) ->
    ok = py:exec(ctx(1), "import erlang, gc"),
    ?assertEqual({ok, 20000}, on(1, "len(erlang.call('shm_fresh', 10000))", #{})),
    ?assertEqual({ok, lists:duplicate(50, 4)},
                 on(1, "[len(erlang.call('shm_fresh', 2)) for i in range(50)]", #{})).

by_a_channel(_) ->
    {ok, Channel} = py_channel:new(),
    [ok = py_channel:send(Channel, {I, shm(integer_to_binary(I))}) || I <- lists:seq(10, 30)],
    true = erlang:garbage_collect(),
    ok = py:exec(ctx(1), <<"
import erlang
def drain(channel):
    return [(i, int(bytes(v))) for i, v in erlang.Channel(channel)]
">>),
    ok = py_channel:close(Channel),
    ?assertEqual({ok, [{I, I} || I <- lists:seq(10, 30)]},
                 py:call(ctx(1), '__main__', drain, [Channel])).

by_a_stream(_) ->
    Code = "(__import__('erlang').SharedMemory(bytes([i])) for i in range(9))",
    {ok, Items} = py:stream_eval(Code),
    ?assertEqual([<<I>> || I <- lists:seq(0, 8)],
                 [begin {ok, B} = py_shm:to_binary(S), B end || S <- Items]).

%% The context is busy, and its caller has let go of the segment.
of_a_cast(_) ->
    Ref = make_busy(),
    Late = py:spawn_call(ctx(1), builtins, len, [shm(<<"waits">>)]),
    true = erlang:garbage_collect(),
    let_go(Ref),
    ?assertEqual({ok, 5}, py:await(Late)).

make_busy() ->
    {ok, Channel} = py_channel:new(),
    ok = py:exec(ctx(1), "import erlang\ndef wait_for(c): return erlang.Channel(c).receive()"),
    {py:spawn_call(ctx(1), '__main__', wait_for, [Channel]), Channel}.

let_go({Ref, Channel}) ->
    ok = py_channel:send(Channel, go),
    {ok, go} = py:await(Ref),
    ok = py_channel:close(Channel).

%% Python let go of it long before its term is read.
awaited_late(_) ->
    ok = py:exec(ctx(1), "import erlang"),
    Ref = py:spawn_call(ctx(1), erlang, 'SharedMemory', [{bytes, <<"late">>}]),
    timer:sleep(2500), % longer than the courier's round
    {ok, 1} = on(1, "1", #{}),
    {ok, Shm} = py:await(Ref),
    ?assertEqual({ok, <<"late">>}, py_shm:to_binary(Shm)).

from_threads(_) ->
    ok = py:exec(ctx(1), <<"
import erlang, concurrent.futures
def threads(n):
    def one(i):
        made = erlang.SharedMemory(bytes([i]) * 1000)
        got = erlang.call('shm_fresh', i + 1)
        return len(got) == 2 * (i + 1) and bytes(made) == bytes([i]) * 1000
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return sum(pool.map(one, [i % 250 for i in range(n)]))
">>),
    ?assertEqual({ok, 500}, py:call(ctx(1), '__main__', threads, [500])).

many_at_once(_) ->
    All = [shm(<<I:16>>) || I <- lists:seq(1, 400)],
    ?assertEqual({ok, lists:seq(1, 400)},
                 py:eval("[int.from_bytes(v, 'big') for v in x]", #{x => All})).

%%% Who holds it

goes_with_its_last_holder(_) ->
    Shm = shm(<<"held">>),
    ok = py:exec(ctx(1), "kept = []"),
    {ok, none} = on(1, "kept.append(x)", #{x => Shm}),
    {ok, Binary} = py_shm:to_binary(Shm),
    ?assertMatch(#{segments := 1, bytes := 4}, py_shm:live()),
    {ok, none} = on(1, "kept.clear()", #{}),
    true = erlang:garbage_collect(),
    ?assertMatch(#{segments := 1}, py_shm:live()),
    ?assertEqual(<<"held">>, Binary).

%% Erlang has no term of it any more; Python gives it back.
outlives_its_maker(_) ->
    ok = py:exec(ctx(1), "kept = []"),
    ok = keep(<<"mine now">>),
    true = erlang:garbage_collect(),
    {ok, Shm} = on(1, "kept.pop()", #{}),
    ?assertEqual({ok, <<"mine now">>}, py_shm:to_binary(Shm)),
    ?assertEqual({ok, <<"mine now">>}, on(2, "bytes(x)", #{x => Shm})).

keep(Data) ->
    {ok, none} = on(1, "kept.append(x)", #{x => shm(Data)}),
    ok.

of_a_dead_context(_) ->
    {ok, Context} = py_context:new(#{}),
    ok = py:exec(Context, "import erlang, os\n"
                 "made = [erlang.SharedMemory(b'x') for i in range(9)]"),
    {ok, none} = py:eval(Context, "made.append(x)", #{x => shm(<<"theirs">>)}),
    ?assertMatch(#{segments := 10}, py_shm:live()),
    {error, {crashed, _}} = py:eval(Context, "os.kill(os.getpid(), 9)"),
    nothing_held(),
    ok = py_context:stop(Context).

%%% Nobody gets what they were not given

forged(_) ->
    Shm = shm(<<"secret">>),
    Forge = "(erlang.Atom('py_shm'), erlang.decode(t)[1], s, 6, 'B', [6])",
    ok = py:exec(ctx(1), "import erlang"),
    Locals = #{t => {bytes, term_to_binary(Shm)}, s => {bytes, <<0:128>>}},
    {ok, Fake} = on(1, Forge, Locals),
    ?assert(py_shm:is_shm(Fake)),
    ?assertEqual({error, gone}, py_shm:to_binary(Fake)),
    {error, {"SharedMemoryError", Why}} = on(2, "x", #{x => Fake}),
    ?assertNotEqual(nomatch, string:find(Why, "gone")),
    %% The service itself, asked for anything.
    [?assertMatch({ok, {error, <<"no term", _/binary>>}},
                  on(1, "erlang._waits.ask(('shm', 'open'), 9, t)", #{t => {bytes, Bytes}}))
     || Bytes <- [<<>>, <<104, 6>>, <<104, 6, 97, 1>>, rand:bytes(5000),
                  tl_binary(term_to_binary({py_shm, fun os:cmd/1, 1, 2, 3, 4}))]].

tl_binary(<<131, Rest/binary>>) -> Rest.

%% What Python says of its holds may be anything.
false_releases(_) ->
    ok = py:exec(ctx(1), "import erlang\nkept = erlang.SharedMemory(b'x')"),
    [{ok, none} = on(1, ["erlang._bridge._send(0, ('release', ", Token, ", ", Sent, "))"], #{})
     || Token <- ["1 << 70", "-1", "b'x'", "0"], Sent <- ["1 << 64", "-1", "1.5", "b'x'", "7"]],
    {ok, Shm} = on(1, "kept", #{}),
    ?assertEqual({ok, <<"x">>}, py_shm:to_binary(Shm)),
    ok = py:exec(ctx(1), "del kept").

%% Each takes a descriptor of the VM, so there is an end to them.
full(_) ->
    {ok, Context} = py_context:new(#{}),
    {error, {"SharedMemoryError", Why}} =
        py:eval(Context, "[__import__('erlang').SharedMemory(b'x') for i in range(5000)]"),
    ?assertNotEqual(nomatch, re:run(Why, "too many|emfile|Too many|open files")),
    {ok, 1} = py:eval(Context, "1"),
    ok = py_context:stop(Context).

lies_about_its_shape(_) ->
    Shm = shm(<<"six by">>),
    [?assertMatch({error, {"ValueError", _}}, on(1, "x", #{x => Bad}))
     || Bad <- [setelement(4, Shm, 7), setelement(4, Shm, -1), setelement(4, Shm, a),
                setelement(5, Shm, <<"d">>), setelement(5, Shm, <<"xyzxyzxyzxyzxyzxyz">>),
                setelement(6, Shm, [7]), setelement(6, Shm, [1 bsl 62, 1 bsl 62]),
                setelement(6, Shm, [-6]), setelement(6, Shm, lists:duplicate(40, 1)),
                setelement(6, Shm, x)]],
    %% One that fits itself and not the segment.
    Large = setelement(6, setelement(4, Shm, 1 bsl 20), [1 bsl 20]),
    ?assertMatch({error, {"SharedMemoryError", _}}, on(1, "x", #{x => Large})),
    ?assertEqual({error, {invalid, shm, Large}}, py_shm:to_binary(Large)),
    ?assertEqual({ok, 6}, on(1, "len(x)", #{x => Shm})).

%% Contexts that die while segments come and go.
killed_at_random(_) ->
    Rounds = list_to_integer(os:getenv("TERRARIUM_SHM_ROUNDS", "20")),
    Lives = fun(I) -> [one_life(I * 1000 + R) || R <- lists:seq(1, Rounds)] end,
    Results = py_ct:parallel(4, Lives),
    ?assertEqual([], [R || R <- lists:append(Results), R =/= ok]).

one_life(Seed) ->
    {ok, Context} = py_context:new(#{}),
    Killer = spawn_link(fun() ->
                                timer:sleep(Seed rem 17),
                                _ = py:eval(Context, "__import__('os').kill(0, 9)")
                        end),
    Result = use(Context, 200, shm(<<Seed:32>>)),
    unlink(Killer),
    exit(Killer, kill),
    _ = py_context:stop(Context),
    Result.

use(_, 0, _) ->
    ok;
use(Context, N, Shm) ->
    case py:eval(Context, "[x, __import__('erlang').SharedMemory(bytes(x))]", #{x => Shm}) of
        {ok, [Shm, Copy]} ->
            {Same, Same} = {py_shm:to_binary(Shm), py_shm:to_binary(Copy)},
            use(Context, N - 1, Shm);
        {error, {crashed, _}} ->
            ok;
        Other ->
            Other
    end.

%%% New code

%% Large ones, which another thread frees.
outlives_its_module(_) ->
    Data = binary:copy(<<"new">>, 1000000),
    Before = shm(Data),
    load_anew(),
    Between = shm(Data),
    load_anew(),
    ?assert(lists:all(fun(Shm) -> py_shm:to_binary(Shm) =:= {ok, Data} end, [Before, Between])),
    %% Without a next version to take them over they are strangers' to a later one.
    true = code:delete(py_shm_nif),
    false = code:purge(py_shm_nif),
    {module, py_shm_nif} = code:load_file(py_shm_nif),
    ?assertEqual({error, gone}, py_shm:to_binary(Before)).

load_anew() ->
    {module, py_shm_nif} = code:load_file(py_shm_nif),
    false = code:purge(py_shm_nif).
