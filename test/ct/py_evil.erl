%% SPDX-License-Identifier: Apache-2.0
%% @doc Helpers that were taken over (test/progs/evil), and what the suites about
%% them look at: whether the VM, its memory, its atoms, its descriptors and the
%% other contexts are as before.
%%
%% A runtime `evil' is started with the program evil_zygote in place of
%% terrarium_py; the name of a context says what its helper does.
-module(py_evil).

-export([start/1, stop/0, dir/0, bystander/0, new/2, deed/2, deed/3, guarded/3, ask/2, helper/1,
         bomb/1]).

-define(FRAME, (1 bsl 20)).
%% What the VM may take for its own purposes beside: heaps, carriers, code.
-define(SLACK, (48 bsl 20)).

%% Start the application with these settings, an evil runtime, and a bystander.
start(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "evil_helpers"),
    ok = filelib:ensure_path(Dir),
    true = os:putenv("EVIL_DIR", Dir),
    Progs = os:getenv("TERRARIUM_TEST_PROGS", "build/test"),
    Program = filename:absname(filename:join(Progs, "evil_zygote")),
    Argv = [unicode:characters_to_binary(A)
            || A <- [Program, "zygote", "--control", "3", "--name", "evil"]],
    ok = py_runtime_cmd:remember(evil, Argv),
    ok = py_ct:start([{runtimes, #{default => #{}, evil => #{}}},
                      {start_timeout, 3000}, {stop_timeout, 1000}]),
    ok = load_all(),
    ok = start_bystander(),
    %% What runs the first time makes atoms and takes memory.
    {ok, 42} = deed("honest", #{dies => false, first => true}),
    [_ = deed(Name, #{timeout => 700, first => true})
     || Name <- ["zero_field", "one_byte_short", "exit_zero", "etf_new_atom", "flood_stdout"]],
    ok.

stop() ->
    true = os:unsetenv("EVIL_DIR"),
    ok = py_ct:stop(),
    _ = persistent_term:erase({py_runtime_cmd, evil}),
    ok.

dir() ->
    os:getenv("EVIL_DIR").

%% It outlives the process that starts it.
start_bystander() ->
    Self = self(),
    Keeper = spawn(fun() ->
                           {ok, Bystander} = py_context:new(#{}),
                           true = register(py_evil_bystander, Bystander),
                           Self ! {self(), ready},
                           receive after infinity -> ok end
                   end),
    receive {Keeper, ready} -> ok end.

%% The context that has nothing to do with it.
bystander() ->
    whereis(py_evil_bystander).

%% Code that is loaded later would make atoms then.
load_all() ->
    %% Said of a process that ends while it is looked at.
    esrch = list_to_atom("esrch"),
    {ok, Modules} = application:get_key(terrarium, modules),
    [{module, M} = code:ensure_loaded(M) || M <- Modules],
    ok.

%% A context whose helper does this.
new(Name, Options) ->
    Usual = #{runtime => evil, name => list_to_binary(Name), max_frame => ?FRAME,
              grace_ms => 200, log_output => false},
    py_context:new(maps:merge(Usual, maps:without([timeout, dies, memory, first], Options))).

%% Ask its helper for anything.
ask(Context, Timeout) ->
    py_context:eval(Context, <<"1">>, #{}, Timeout).

%% The process id of its helper.
helper(Context) ->
    {ok, #{os_pid := Pid}} = py_context:info(Context),
    Pid.

deed(Name, Options) ->
    deed(Name, Options, fun ask/2).

%% Let it be done; the result of the one who asked.  Fails where anything else
%% than that has changed.
deed(Name, Options, Ask) ->
    {Result, Pids} = guarded(Name, Options, fun() -> done(new(Name, Options), Options, Ask) end),
    [] = [P || P <- Pids, py_ct:alive(P)],
    Result.

%% The same for anything that is done by evil helpers.
guarded(Name, Options, Fun) ->
    Before = look(),
    Watch = spawn_link(fun() -> watch(0, 0) end),
    Result = Fun(),
    Watch ! {stop, self()},
    Seen = receive {Watch, S} -> S after 60000 -> ct:fail({Name, bystander_hangs}) end,
    Peak = peak() - maps:get(rss, Before),
    ok = py_ct:eventually(fun() -> helpers() =:= [] orelse helpers() end),
    ok = py_ct:settled(maps:get(census, Before)),
    Grown = #{peak => Peak, total => maps:get(total, Seen) - maps:get(total, Before),
              atoms => py_census:atoms_since(maps:get(atoms, Before)),
              mailbox => py_ct:mailbox(), answers => maps:get(answers, Seen)},
    ct:pal("~s: ~0tP, ~0tp", [Name, seen(Result), 30, Grown]),
    ok = case Options of
             #{first := true} -> ok;
             _ -> check(Name, maps:get(memory, Options, 0), Grown)
         end,
    Result.

%% A number of a million digits takes minutes to print.
seen({{ok, N}, Pids}) when is_integer(N), abs(N) > 1 bsl 1000 -> {{ok, bignum}, Pids};
seen(Result) -> Result.

done({error, _} = Error, _, _) ->
    {Error, []};
done({ok, Context}, Options, Ask) ->
    Pid = helper(Context),
    Result = Ask(Context, maps:get(timeout, Options, 20000)),
    ok = end_of(Pid, maps:get(dies, Options, true)),
    ok = py_context:stop(Context),
    {Result, [Pid]}.

%% Killed because of what it did, not because its context was stopped.
end_of(Pid, true) -> py_ct:eventually(fun() -> not py_ct:alive(Pid) end);
end_of(_, false) -> ok.

check(Name, More, #{peak := Peak, total := Total, atoms := Atoms} = Grown) ->
    Bound = ?FRAME + ?SLACK + More,
    case Grown of
        %% What the allocators' carriers have besides counts in the peak alone.
        #{mailbox := [], answers := N}
          when Peak =< Bound + Bound div 4, Total =< Bound, Atoms =:= [], N > 0 -> ok;
        _ -> ct:fail({Name, Grown, {bound, Bound}})
    end.

%% The processes that the evil zygote has.
helpers() ->
    Parent = integer_to_list(py_ct:zygote_pid(evil)),
    [Pid || Pid <- element(2, file:list_dir("/proc")), is_child(Pid, Parent)].

is_child(Pid, Parent) ->
    case file:read_file(filename:join(["/proc", Pid, "stat"])) of
        {ok, Stat} ->
            [_, After] = string:split(Stat, ")", trailing),
            lists:nth(2, string:lexemes(binary_to_list(After), " ")) =:= Parent;
        {error, _} ->
            false
    end.

%%% Looking

look() ->
    true = erlang:garbage_collect(),
    ok = file:write_file("/proc/self/clear_refs", "5"),
    #{census => py_ct:census(), atoms => erlang:system_info(atom_count),
      rss => status(<<"VmRSS">>), total => erlang:memory(total)}.

%% The most that the VM had since the last look.
peak() ->
    status(<<"VmHWM">>).

status(Key) ->
    {ok, Text} = file:read_file("/proc/self/status"),
    {match, [Kb]} = re:run(Text, [Key, ":\\s+([0-9]+)"], [{capture, all_but_first, binary}]),
    binary_to_integer(Kb) * 1024.

%% Somebody else's context is used all the while, and answers right; meanwhile the
%% VM's memory is looked at.
watch(Answers, Total) ->
    {ok, 2} = py_context:eval(bystander(), <<"1 + 1">>, #{}, 30000),
    Most = max(Total, erlang:memory(total)),
    receive
        {stop, From} -> From ! {self(), #{answers => Answers + 1, total => Most}}
    after 1 ->
        watch(Answers + 1, Most)
    end.

%% A compressed term of so many zeroes, made without having them.
bomb(Size) ->
    Z = zlib:open(),
    ok = zlib:deflateInit(Z),
    Chunk = <<0:(1 bsl 20)/unit:8>>,
    Head = zlib:deflate(Z, <<109, Size:32>>),
    Body = [zlib:deflate(Z, Chunk) || _ <- lists:seq(1, Size bsr 20)],
    Tail = zlib:deflate(Z, <<>>, finish),
    ok = zlib:close(Z),
    iolist_to_binary([<<131, 80, (Size + 5):32>>, Head, Body, Tail]).
