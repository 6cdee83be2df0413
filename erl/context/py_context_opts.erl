%% SPDX-License-Identifier: Apache-2.0
%% @doc Options of contexts and of calls, checked.  Pure.
%% A bad one is `{error, {invalid, Key, Value}}'.
-module(py_context_opts).

-export([context/1, context/2, mode/1, boot/1, limits/1, counted/2, in_force/1, form/1, call/1]).

-export_type([options/0, call/0]).

-type options() :: #{atom() => term()}.
%% Checked options of a context; see `py_context:new/1'.

-type call() :: {timeout() | default, py_caller:errors(), Flags :: byte(), map()}.
%% Timeout, form of errors and of output, frame flags, keyword arguments.

-include("../port/py_wire.hrl").

%% @doc Check the options of a context and fill in the defaults.
-spec context(term()) -> {ok, options()} | {error, {invalid, atom(), term()}}.
context(Map) when is_map(Map) ->
    context(Map, terrarium_config:get(policy));
context(Other) ->
    {error, {invalid, options, Other}}.

%% @doc The same, where those without a policy have this one, which is checked.
-spec context(map(), py_policy:policy()) -> {ok, options()} | {error, {invalid, atom(), term()}}.
context(Map, Policy) ->
    case fold(maps:to_list(Map), defaults(Policy)) of
        {ok, Options} -> {ok, with_policy(Options, Map)};
        {error, _} = Error -> Error
    end.

%% The policy's limits hold, unless the context has tighter ones of its own.
with_policy(#{policy := Policy} = Options, Given) ->
    Frame = min(maps:get(max_frame, Options), py_policy:limit({frame_bytes, Policy}, infinity)),
    Grace = case Given of
                #{grace_ms := Own} -> Own;
                _ -> py_policy:limit({grace_ms, Policy}, maps:get(grace_ms, Options))
            end,
    Depth = min(maps:get(max_depth, Options), py_policy:limit({term_depth, Policy}, infinity)),
    Options#{max_frame := Frame, grace_ms := Grace, max_depth := Depth}.

defaults(Policy) ->
    #{runtime => default,
      policy => Policy,
      name => <<>>,
      errors => pair,
      grace_ms => terrarium_config:get(grace_ms),
      max_frame => terrarium_config:get(max_frame),
      max_depth => terrarium_config:get(max_depth),
      lane => terrarium_config:get(lane),
      spin_us => terrarium_config:get(spin_us),
      restart => terrarium_config:get(restart),
      log_output => terrarium_config:get(log_output),
      retire_ms => 30000,
      output => stream,
      output_max => 1048576}.

fold([], Acc) ->
    {ok, Acc};
fold([{Key, Value} | Rest], Acc) ->
    case check(Key, Value) of
        {ok, Good} -> fold(Rest, Acc#{Key => Good});
        {error, {invalid, _, _}} = Error -> Error;
        error -> {error, {invalid, Key, Value}}
    end.

%% For those who throw contexts away: so many spares of this kind, no other helper
%% after the first.
check(ahead, N) when is_integer(N), N >= 0, N =< 64 -> {ok, N};
check(single_use, B) when is_boolean(B) -> {ok, B};
check(runtime, Name) when is_atom(Name) -> {ok, Name};
check(policy, Policy) -> py_policy:check(Policy);
check(name, Name) -> terrarium_config:name(Name);
check(env, Map) -> terrarium_config:text_map(Map);
check(unset, Names) -> terrarium_config:names(Names);
check(cwd, Dir) -> terrarium_config:path(Dir);
check(paths, Dirs) -> terrarium_config:names(Dirs);
check(imports, Names) -> terrarium_config:names(Names);
check(preload_code, Code) -> py_startup:valid_code(Code);
check(argv, Args) -> terrarium_config:names(Args);
check(errors, pair) -> {ok, pair};
check(errors, map) -> {ok, map};
check(mode, Mode) -> mode(Mode);
check(Key, Value) when Key =:= grace_ms; Key =:= max_frame; Key =:= max_depth;
                       Key =:= lane; Key =:= spin_us ->
    terrarium_config:check(Key, Value);
check(restart, Policy) -> terrarium_config:valid_restart(Policy);
check(log_output, B) when is_boolean(B) -> {ok, B};
check(recycle, Limits) -> recycle(Limits);
check(namespace, N) when N =:= context; N =:= process -> {ok, N};
check(retire_ms, T) when is_integer(T), T >= 0, T =< 16#ffffffff -> {ok, T};
check(output, Output) when Output =:= stream; Output =:= capture -> {ok, Output};
check(output_max, Max) when is_integer(Max), Max > 0 -> {ok, Max};
check(_, _) -> error.

%% After so many calls, milliseconds, bytes of memory a context gets a fresh
%% helper.
recycle(Limits) when is_map(Limits) ->
    Good = fun({Key, N}) ->
                   lists:member(Key, [calls, age, memory]) andalso is_integer(N) andalso N > 0
                       andalso N =< 1 bsl 60
           end,
    case lists:all(Good, maps:to_list(Limits)) andalso maps:get(age, Limits, 1) =< 16#ffffffff of
        true -> {ok, Limits};
        false -> error
    end;
recycle(_) ->
    error.

%% @doc How contexts run.  There is one way, `process'; the names that users of
%% in-process bridges write are taken for it.
-spec mode(term()) -> {ok, process} | error.
mode(Mode) when Mode =:= process; Mode =:= auto; Mode =:= worker;
                Mode =:= subinterp; Mode =:= owngil ->
    {ok, process};
mode(_) ->
    error.

%% @doc The BOOT map that these options ask for; those of many contexts have it in them.
-spec boot(options()) -> map().
boot(#{boot := Boot}) ->
    Boot;
boot(#{policy := Policy} = Options) ->
    Boot = maps:with([name, env, unset, cwd, paths, imports, preload_code, argv, max_frame,
                      max_depth, lane], Options),
    Boot#{handles => py_policy:level(Policy) =/= trusted}.

%% @doc What callers of the context must know.
-spec limits(options()) -> py_request:limits().
limits(#{max_frame := MaxFrame, grace_ms := Grace, policy := Policy} = Options) ->
    Wall = py_policy:limit({wall_ms, Policy}, infinity),
    case {Wall, maps:get(inflight, Options, none), py_policy:level(Policy)} of
        {infinity, none, trusted} -> {MaxFrame, Grace};
        {_, Inflight, Level} ->
            {MaxFrame, {Grace, #{wall => Wall, inflight => Inflight,
                                 handles => Level =/= trusted}}}
    end.

%% @doc The same options with the counter of requests under way that belongs to them;
%% where a context had one under its former options it goes on with that, which allows
%% what it did until these options are in force.
-spec counted(options(), options()) -> options().
counted(Options, Former) ->
    Options#{inflight => py_limit:follow(maps:get(inflight, Former, none), inflight(Options))}.

%% @doc A helper with these options, which were counted, serves from now on.
-spec in_force(options()) -> ok.
in_force(#{inflight := Limit} = Options) ->
    _ = py_limit:change(Limit, inflight(Options)),
    ok.

inflight(#{policy := Policy}) ->
    py_policy:limit({inflight, Policy}, infinity).

%% @doc The form of results: of exceptions, and of output where it is captured.
-spec form(options()) -> pair | map | {capture, pos_integer(), pair | map}.
form(#{output := stream, errors := Errors}) -> Errors;
form(#{output := capture, output_max := Max, errors := Errors}) -> {capture, Max, Errors}.

%% @doc Check what may stand in the place of a call's options: a timeout, or a
%% map of `timeout', `kwargs', `return', `errors', `output' and `output_max'.
-spec call(term()) -> {ok, call()} | {error, {invalid, atom(), term()}}.
call(Timeout) when Timeout =:= infinity; is_integer(Timeout) ->
    call_option([{timeout, Timeout}], {default, default, 0, #{}});
call(Map) when is_map(Map) ->
    call_option(maps:to_list(Map), {default, default, 0, #{}});
call(Other) ->
    {error, {invalid, options, Other}}.

call_option([], Call) ->
    {ok, Call};
call_option([{timeout, T} | Rest], {_, E, F, K})
  when T =:= infinity; is_integer(T), T >= 0, T =< 16#ffffffff ->
    call_option(Rest, {T, E, F, K});
call_option([{errors, Form} | Rest], {T, E, F, K}) when Form =:= pair; Form =:= map ->
    call_option(Rest, {T, with_form(E, Form), F, K});
call_option([{output, Output} | Rest], {T, E, F, K}) when Output =:= stream;
                                                          Output =:= capture ->
    {_, Max, Form} = printed(E),
    call_option(Rest, {T, {Output, Max, Form}, F, K});
call_option([{output_max, Max} | Rest], {T, E, F, K}) when is_integer(Max), Max > 0 ->
    {Output, _, Form} = printed(E),
    call_option(Rest, {T, {Output, Max, Form}, F, K});
call_option([{return, term} | Rest], {T, E, F, K}) ->
    call_option(Rest, {T, E, F band (bnot ?FLAG_RETURN_REF), K});
call_option([{return, ref} | Rest], {T, E, F, K}) ->
    call_option(Rest, {T, E, F bor ?FLAG_RETURN_REF, K});
call_option([{kwargs, Kw} | Rest], {T, E, F, _}) when is_map(Kw) ->
    call_option(Rest, {T, E, F, Kw});
call_option([{Key, Value} | _], _) ->
    {error, {invalid, Key, Value}}.

with_form({Output, Max, _}, Form) -> {Output, Max, Form};
with_form(_, Form) -> Form.

printed({_, _, _} = Errors) -> Errors;
printed(Form) -> {default, default, Form}.
